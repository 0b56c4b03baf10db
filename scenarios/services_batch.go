package scenarios

import (
	"fmt"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// plan is a classic model as a replica runs it.
func (b *BatchModel) plan() *plan.BatchModel {
	out := &plan.BatchModel{Base: units.Duration(b.Base), PerItem: units.Duration(b.PerItem),
		PerToken: units.Duration(b.PerToken), MaxBatch: b.MaxBatch, MaxDelay: units.Duration(b.MaxDelay),
		Preferred: b.PreferredBatchSizes, PreserveOrder: b.PreserveOrdering, Level: b.DefaultPriorityLevel,
		Instances: b.Instances, CV: b.CV, MemoryGiB: b.MemoryGiB}
	for range max(b.PriorityLevels, 1) {
		out.Queues = append(out.Queues, b.Queue.plan())
	}
	for _, p := range b.Priorities {
		if p.Level > len(out.Queues) {
			continue // reported
		}
		if p.Queue != nil {
			out.Queues[p.Level-1] = p.Queue.plan()
		}
		for _, t := range p.Tenants {
			if out.Tenants == nil {
				out.Tenants = map[string]int{}
			}
			out.Tenants[t] = p.Level
		}
	}
	return out
}

func (q *BatchQueue) plan() plan.BatchQueue {
	return plan.BatchQueue{Timeout: units.Duration(q.Timeout), Delay: q.TimeoutAction == timeoutDelay, MaxSize: q.MaxSize}
}

// checkBatch holds what Triton does, too, of the configuration of a model (triton-inference-server/core,
// src/model_config_utils.cc, ValidateModelConfig): sizes, levels, and what cannot be with the order preserved.
func (s *Scenario) checkBatch(path string, b *BatchModel) {
	p := s.doc.Problemf
	for _, n := range b.PreferredBatchSizes {
		if n > b.MaxBatch {
			p(path+".preferredBatchSizes", "%s.preferredBatchSizes: %d is more than maxBatch, %d; write less, or a larger "+
				"maxBatch", path, n, b.MaxBatch)
		}
	}
	switch d, n := b.DefaultPriorityLevel, b.PriorityLevels; {
	case n == 0 && d > 0:
		p(path+".defaultPriorityLevel", "%s.defaultPriorityLevel: there are no levels; add priorityLevels, or remove it",
			path)
	case n > 0 && (d < 1 || d > n):
		p(path+".priorityLevels", "%s.defaultPriorityLevel is %d; with %d priorityLevels it is between 1 and %d", path, d, n,
			n)
	}
	if b.PreserveOrdering && b.PriorityLevels > 1 {
		p(path+".preserveOrdering", "%s.preserveOrdering: with %d levels of priority there is no order to preserve; remove "+
			"one of them", path, b.PriorityLevels)
	}
	s.checkBatchQueue(path+".queue", &b.Queue, b.PreserveOrdering)
	levels, tenants := map[int]bool{}, map[string]bool{}
	for i := range b.Priorities {
		x := &b.Priorities[i]
		at := fmt.Sprintf("%s.priorities[%d]", path, i)
		switch {
		case x.Level > b.PriorityLevels:
			p(at+".level", "%s.level: %d is more than priorityLevels, %d", at, x.Level, b.PriorityLevels)
		case levels[x.Level]:
			p(at+".level", "%s.level: %d is there already; write its tenants and queue in one place", at, x.Level)
		}
		levels[x.Level] = true
		if x.Queue != nil {
			s.checkBatchQueue(at+".queue", x.Queue, b.PreserveOrdering)
		}
		for k, t := range x.Tenants {
			if tenants[t] {
				at := fmt.Sprintf("%s.tenants[%d]", at, k)
				p(at, "%s: tenant %q has a level already; name it once", at, t)
			}
			tenants[t] = true
		}
	}
}

func (s *Scenario) checkBatchQueue(path string, q *BatchQueue, ordered bool) {
	if q.TimeoutAction != timeoutDelay {
		return
	}
	switch {
	case q.Timeout == 0:
		s.doc.Problemf(path+".timeoutAction", "%s.timeoutAction: without a timeout nothing is delayed; add timeout, or "+
			"remove it", path)
	case ordered:
		s.doc.Problemf(path+".timeoutAction", "%s.timeoutAction: delay changes the order that preserveOrdering holds; write "+
			"reject", path)
	}
}
