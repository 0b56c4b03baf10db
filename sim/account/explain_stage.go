package account

import (
	"fmt"

	"orrery/sim/units"
)

// StageStory is a stage of a pod's start that has ended.
type StageStory struct {
	At     units.Time     `json:"t_ns"`
	Stage  string         `json:"stage"`
	Took   units.Duration `json:"took_ns"`
	Detail string         `json:"detail,omitempty"`
}

func (s *StageStory) text() string {
	return fmt.Sprintf("start: %s done after %s%s", s.Stage, span(s.Took), because(s.Detail))
}
