package account

import (
	"math"
	"slices"
	"testing"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// overlap reports whether two slots of one GPU cannot both be owned, tried slice by slice.
func overlap(s, t journal.Slot) bool {
	if s.Index != t.Index {
		return false
	}
	if s.Profile == t.Profile && s.Start == t.Start {
		return s.Replica == t.Replica
	}
	if s.Profile == "" || t.Profile == "" {
		return true
	}
	for i := s.Start; i < s.Start+s.Slices; i++ {
		if i >= t.Start && i < t.Start+t.Slices {
			return true
		}
	}
	return false
}

// fitsBeside reports whether the slot can be owned beside what is.
func (n *toyNode) fitsBeside(s journal.Slot) bool {
	sum := s.Share
	for t := range n.owner {
		if overlap(s, t) {
			return false
		}
		if t.Index == s.Index {
			sum += t.Share
		}
	}
	return sum <= units.GPU
}

// why is the dumb twin of Fold.fits: what keeps one pod from one node.
func (n *toyNode) why(p *toyPod) int {
	kinds := map[string]bool{"whole": p.profile == "", "shared": p.share == 333, "mig": true, "cut": p.profile == "",
		"need": p.profile == "" || *n.migSeen}
	switch {
	case p.job.pools != nil && !slices.Contains(p.job.pools, n.Pool), !kinds[n.Pool]:
		return causeNodeKind
	case n.slotsFor(p) < p.slots && p.profile != "" && n.idle() >= p.share:
		return causeMIG
	case n.slotsFor(p) < p.slots:
		return causeGPUCount
	}
	cpu, pods, owners := n.cpu, 0, map[*toyPod]bool{}
	for q := range n.bound {
		owners[q] = true
	}
	for q := range owners {
		cpu -= q.cpu
		pods++
	}
	switch {
	case cpu < p.cpu:
		return causeCPU
	case n.Pool == "whole" && pods >= 5:
		return causePods
	}
	return causeOther
}

// slotsFor counts what p could be given, also cut otherwise than the toy cluster does it.
func (n *toyNode) slotsFor(p *toyPod) (count int) {
	if p.profile != "" || n.per > 1 {
		return len(n.freeSlots(p))
	}
	for i := range n.GPUs {
		free, divided := units.GPU, n.Pool == "mig" && i == 0
		for s := range n.owner {
			if s.Index == i {
				free -= s.Share
				divided = divided || s.Profile != ""
			}
		}
		if !divided {
			count += int(free / p.share)
		}
	}
	return count
}

func (n *toyNode) idle() units.MilliGPU {
	idle := units.MilliGPU(n.GPUs) * units.GPU
	for s := range n.owner {
		idle -= s.Share
	}
	return idle
}

// causes is the dumb twin of Fold.causes: pod by pod, in floating point.
func (w *world) causes() (out [nCauses]float64) {
	var demand, total float64
	for _, n := range w.nodes {
		if n.State == journal.NodeUp {
			total += float64(n.idle())
		}
	}
	for _, j := range w.jobs {
		for _, p := range j.pods {
			if p.refused && !p.bound {
				demand += float64(p.slots) * float64(p.share)
			}
		}
	}
	for _, j := range w.jobs {
		for _, p := range j.pods {
			if !p.refused || p.bound || p.slots == 0 {
				continue
			}
			for _, n := range w.nodes {
				if n.State == journal.NodeUp && n.idle() > 0 {
					cause := n.why(p)
					if cause == causeOther {
						cause = w.whole(p)
					}
					out[cause] += float64(n.idle()) * float64(p.slots) * float64(p.share) / demand / total
				}
			}
		}
	}
	return out
}

// whole says whether the gang of a pod that fits alone fits too.
func (w *world) whole(p *toyPod) int {
	if !p.job.gang || p.job.size < 2 {
		return causeOther
	}
	total, leaf := 0, map[string]int{}
	for _, n := range w.nodes {
		if n.State != journal.NodeUp || n.idle() == 0 || n.why(p) != causeOther {
			continue
		}
		fit := n.slotsFor(p) / p.slots
		cpu, pods := n.cpu, 5
		for q := range n.bound {
			cpu -= q.cpu
			pods--
		}
		fit = min(fit, int(cpu/p.cpu))
		if n.Pool == "whole" {
			fit = min(fit, pods)
		}
		total += fit
		leaf[n.Domains[0]] += fit
	}
	switch {
	case total < p.job.size:
		return causeGang
	case p.job.within && leaf["l0"] < p.job.size && leaf["l1"] < p.job.size && leaf["l2"] < p.job.size:
		return causeTopology
	}
	return causeOther
}

// TestCausesEqualDumbTwin looks at random clusters after every step.
func TestCausesEqualDumbTwin(t *testing.T) {
	var seen [nCauses]int
	for seed := range uint64(30) {
		w, f, fed := newWorld(seed), New(Options{}), 0
		for step := range 500 {
			w.step()
			for ; fed < len(w.recs); fed++ {
				f.Append(w.recs[fed].At, w.recs[fed].Body)
			}
			if f.Err() != nil {
				t.Fatalf("seed %d: %v", seed, f.Err())
			}
			if f.led.split()[chFragmented] == 0 || len(f.shapes.waiting()) >= shapesMax {
				continue
			}
			got, want := f.causes(), w.causes()
			for c := range got {
				if math.Abs(float64(got[c])/billion-want[c]) > 1e-5 {
					t.Fatalf("seed %d, step %d: %s has %v, twin %v of the free GPUs", seed, step, causeIDs[c],
						float64(got[c])/billion, want[c])
				}
				if got[c] > 0 {
					seen[c]++
				}
			}
		}
	}
	for c, n := range seen {
		if n == 0 && c != causeMemory { // never short in this world
			t.Errorf("%s was never a cause", causeIDs[c])
		}
	}
}
