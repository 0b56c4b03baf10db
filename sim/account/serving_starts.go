package account

import (
	"cmp"
	"fmt"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// startBook is the account of how long replicas took until they took requests, in seconds.
type startBook struct {
	wait, start, total []float64
	stages             group[string, *stageTimes]
}

// stageTimes are the times of one stage.
type stageTimes struct {
	name    string
	seconds []float64
}

func (b *startBook) stage(name string, seconds float64) {
	if b.stages.byKey == nil {
		b.stages = newGroup[string, *stageTimes]()
	}
	s := b.stages.get(name, func(int) *stageTimes { return &stageTimes{name: name} })
	s.seconds = append(s.seconds, seconds)
}

// podStage takes the end of a stage of a pod's start.
func (f *Fold) podStage(b journal.PodStage) error {
	p := f.pods[b.Pod]
	if p == nil || p.bound == never || b.Took < 0 {
		return fmt.Errorf("stage %s of pod %s, which has no node, or of a time that cannot be", b.Stage, b.Pod)
	}
	f.stageRow(&b)
	f.services.starts.stage(b.Stage, b.Took.Seconds())
	if p.service != nil {
		p.service.starts.stage(b.Stage, b.Took.Seconds())
	}
	return nil
}

// started takes a replica that takes its first request from now on: its name is that of its first pod.
func (f *Fold) started(name string, s *service) {
	p := f.pods[name]
	if p == nil || p.bound == never {
		return
	}
	for _, b := range []*startBook{&f.services.starts, &s.starts} {
		b.wait = append(b.wait, p.bound.Sub(p.created).Seconds())
		b.start = append(b.start, f.now.Sub(p.bound).Seconds())
		b.total = append(b.total, f.now.Sub(p.created).Seconds())
	}
}

// stageOrder is the order in which stages follow each other.
var stageOrder = []string{journal.StageSandbox, journal.StageImage, journal.StageWeights, journal.StageEngine,
	journal.StageSnapshot, journal.StageJoin}

// names are the stages in their order; others follow.
func (b *startBook) names() []string {
	var out []string
	for _, s := range b.stages.list {
		out = append(out, s.name)
	}
	slices.SortStableFunc(out, func(x, y string) int {
		place := func(s string) int {
			if i := slices.Index(stageOrder, s); i >= 0 {
				return i
			}
			return len(stageOrder)
		}
		return cmp.Compare(place(x), place(y))
	})
	return out
}

func (b *startBook) result() *result.Starts {
	if len(b.total) == 0 && len(b.stages.list) == 0 {
		return nil
	}
	out := &result.Starts{Pods: int64(len(b.total)), Wait: distribution(b.wait), Start: distribution(b.start),
		Total: distribution(b.total), Stages: map[string]result.Distribution{}, StageNames: b.names()}
	for _, s := range b.stages.list {
		out.Stages[s.name] = distribution(s.seconds)
	}
	return out
}

// machineBook is the account of machines that come and go.
type machineBook struct {
	ordered, failed, ready, interrupted, gone int64
	paid, peak                                int64
	live                                      map[string]bool // by node: paid for
	time                                      units.Integral
	since                                     units.Time
	steps                                     group[string, *stageTimes]
}

// add takes a machine's new state.
func (m *machineBook) add(now units.Time, b journal.Machine) error {
	if m.live == nil {
		m.live, m.steps = map[string]bool{}, newGroup[string, *stageTimes]()
	}
	m.time.Add(m.paid, now.Sub(m.since))
	m.since = now
	switch b.State {
	case journal.MachineOrdered:
		m.ordered++
	case journal.MachineFailed:
		m.failed++
	case journal.MachineLaunched:
		if m.live[b.Node] {
			return fmt.Errorf("machine %s is launched twice", b.Node)
		}
		m.live[b.Node] = true
		m.paid++
		m.peak = max(m.peak, m.paid)
	case journal.MachineReady:
		m.ready++
	case journal.MachineInterrupted:
		m.interrupted++
	case journal.MachineGone:
		m.gone++
		if m.live[b.Node] {
			delete(m.live, b.Node)
			m.paid--
		}
	}
	if b.Took > 0 {
		s := m.steps.get(b.State, func(int) *stageTimes { return &stageTimes{name: b.State} })
		s.seconds = append(s.seconds, b.Took.Seconds())
	}
	return nil
}

func (m *machineBook) result(end units.Time) *result.Machines {
	if m.live == nil {
		return nil
	}
	m.time.Add(m.paid, end.Sub(m.since))
	m.since = end
	out := &result.Machines{Ordered: m.ordered, Failed: m.failed, Ready: m.ready, Interrupted: m.interrupted, Gone: m.gone,
		Peak: m.peak, Hours: m.time.Hours(), Steps: map[string]result.Distribution{}}
	for _, s := range m.steps.list {
		out.Steps[s.name] = distribution(s.seconds)
	}
	return out
}
