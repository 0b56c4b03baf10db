package reports

import (
	"orrery/sim/result"
)

func configurationPanel() Panel {
	return Panel{"configuration", "Configuration", "What exactly was run?", buildConfiguration}
}

func buildConfiguration(d *result.Data) Content {
	s := &d.Summary
	name := s.Scenario
	if name == "" {
		name = "(unnamed)"
	}
	c := Content{Headline: "Scenario " + name + ", with every default written out; it runs the same again.",
		Text: d.Config}
	if d.Config == "" {
		c.Headline = "Scenario " + name + "; its resolved form was not recorded."
	}
	return c
}
