package serving

import (
	"math"
	"testing"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// again submits a sequence for each that ends, as clients do that wait for their answers.
type again struct {
	t       *testing.T
	replica Replica
	ended   []*Sequence
	more    int
}

func (*again) First(*Sequence) {}

func (a *again) Ended(q *Sequence) {
	a.ended = append(a.ended, q)
}

func (a *again) run(input, output, clients, requests int) {
	submit := func(at units.Time) {
		a.more++
		q := &Sequence{Input: input, Output: output, Submitted: at, Begun: Never, First: Never, Ended: Never}
		if !a.replica.Submit(at, q) {
			a.t.Fatalf("refused: %s", q.Refused)
		}
	}
	for range clients {
		submit(0)
	}
	for done := 0; done < requests; {
		next := a.replica.Next()
		if next == Never {
			a.t.Fatalf("stuck after %d of %d", done, requests)
		}
		a.replica.Advance(next, a)
		for ; done < len(a.ended); done++ {
			if a.more < requests+clients && clients < requests {
				submit(a.ended[done].Ended)
			}
		}
	}
}

// TestReplicas holds the replicas of this package against the simulator that the validation uses: written apart, for
// requests of one length, they have to give the same throughput and latency on every kind of model and parallelism.
func TestReplicas(t *testing.T) {
	for _, r := range validation().Load {
		if r.Use != "fit" && r.Pipeline < 8 && r.ID != "I13" {
			continue
		}
		s := r.spec
		s.Engine.PrefixCaching = false
		for _, shape := range []lengths{{128, 512, 3000}, {2048, 128, 1000}, {5000, 500, 300}} {
			replica, err := New(s)
			if err != nil {
				t.Fatal(err)
			}
			a := &again{t: t, replica: replica}
			a.run(shape.Input, shape.Output, shape.Requests, shape.Requests)
			last := a.ended[len(a.ended)-1].Ended
			got := float64(shape.Requests) * float64(shape.Output) / last.Seconds()
			want := r.load(&fitted, shape.Input, shape.Output).saturated(shape.Requests)
			if math.Abs(off(got, want)) > 0.001 {
				t.Errorf("%s %s %v: the replica gives %.1f tokens/s, the simulator %.1f", r.Model, r.how(), shape, got, want)
			}
		}
	}
	r := &validation().Sweep[0]
	for _, clients := range []int{1, 5, 25, 100} {
		s := r.spec
		s.Engine.PrefixCaching = false
		if s.Engine.Evict != plan.EvictNone {
			t.Fatal("the sweep's engine may evict")
		}
		replica, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		a := &again{t: t, replica: replica}
		a.run(r.Input, r.Output, clients, (warmRounds+measuredRounds)*clients)
		var first, between float64
		measured := a.ended[warmRounds*clients : (warmRounds+measuredRounds)*clients]
		for _, q := range measured {
			first += (q.First - q.Submitted).Seconds() / float64(len(measured))
			between += (q.Ended - q.First).Seconds() / float64(len(measured)*(r.Output-1))
		}
		ttft, itl, _ := r.load(&fitted, r.Input, r.Output).closed(clients)
		if math.Abs(off(first, ttft)) > 0.001 || math.Abs(off(between, itl)) > 0.001 {
			t.Errorf("%d clients: the replica gives %.3f s and %.4f s, the simulator %.3f s and %.4f s", clients, first, between,
				ttft, itl)
		}
	}
}
