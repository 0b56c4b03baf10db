package serving

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// triton is a dynamic batcher written down as in dynamic_batch_scheduler.cc: at every instant at which something may
// happen it puts all that wait in order and walks over them.
type triton struct {
	model   plan.BatchModel
	pending []*waitingOne
	ends    []units.Time // of instances that are busy
	held    []*tritonBatch
}

type waitingOne struct {
	at      units.Time
	seq     int
	level   int // from 0
	input   int
	delayed bool
}

type tritonBatch struct {
	seqs []int
	end  units.Time
	done bool
}

func (x *triton) queue(w *waitingOne) plan.BatchQueue {
	if len(x.model.Queues) == 0 {
		return plan.BatchQueue{}
	}
	return x.model.Queues[w.level]
}

// run returns what happens to the calls of a script, as text without an order.
func (x *triton) run(calls []call) (out []string) {
	say := func(at units.Time, what string, seq int) { out = append(out, fmt.Sprintf("%d %s %d", at, what, seq)) }
	tick := units.Time(units.Tick)
	for i, again, now := 0, Never, Never; ; {
		now, again = again, Never
		if i < len(calls) {
			now = min(now, calls[i].at)
		}
		free := len(x.ends) < x.model.Instances
		for _, w := range x.pending {
			if q := x.queue(w); q.Timeout > 0 && !q.Delay {
				now = min(now, w.at.Add(q.Timeout).RoundUp()+tick)
			}
			if free {
				now = min(now, max(w.at.Add(x.model.MaxDelay).RoundUp(), w.at.RoundUp()))
			}
		}
		for _, end := range x.ends {
			now = min(now, end)
		}
		if now == Never {
			return out
		}
		x.pending = slices.DeleteFunc(x.pending, func(w *waitingOne) bool {
			q := x.queue(w)
			if q.Timeout == 0 || q.Delay || w.at.Add(q.Timeout).RoundUp() >= now {
				return false
			}
			say(w.at.Add(q.Timeout).RoundUp()+tick, "refused", w.seq)
			return true
		})
		x.ends = slices.DeleteFunc(x.ends, func(end units.Time) bool { return end <= now })
		x.answer(now, say)
		for ; i < len(calls) && calls[i].at == now; i++ {
			x.call(now, calls[i], say)
		}
		if now.RoundUp() > now { // whoever comes until then is in time
			again = now.RoundUp()
			continue
		}
		for len(x.ends) < x.model.Instances && x.form(now, say) {
		}
	}
}

func (x *triton) answer(now units.Time, say func(units.Time, string, int)) {
	for _, b := range x.held {
		b.done = b.done || b.end <= now
	}
	x.held = slices.DeleteFunc(x.held, func(b *tritonBatch) bool {
		if b.done && (!x.model.PreserveOrder || b == x.held[0] || x.allBefore(b)) {
			for _, q := range b.seqs {
				say(now, "ended", q)
			}
			return true
		}
		return false
	})
}

func (x *triton) allBefore(b *tritonBatch) bool {
	for _, other := range x.held {
		if other == b {
			return true
		}
		if other != nil && !other.done {
			return false
		}
	}
	return true
}

func (x *triton) call(now units.Time, c call, say func(units.Time, string, int)) {
	switch c.kind {
	case "submit":
		w := &waitingOne{at: now, seq: c.seq, input: c.q.Input}
		if n := len(x.model.Queues); n > 0 {
			w.level = min(max(c.q.Level, 1), n) - 1
		}
		n := 0
		for _, other := range x.pending {
			if other.level == w.level {
				n++
			}
		}
		if q := x.queue(w); q.MaxSize > 0 && n >= q.MaxSize {
			say(now, "refused", c.seq)
			return
		}
		x.pending = append(x.pending, w)
	case "abort":
		x.pending = slices.DeleteFunc(x.pending, func(w *waitingOne) bool { return w.seq == c.seq })
		for _, b := range x.held {
			b.seqs = slices.DeleteFunc(b.seqs, func(s int) bool { return s == c.seq })
		}
	}
}

// form is GetDynamicBatch, and says whether a batch has begun.
func (x *triton) form(now units.Time, say func(units.Time, string, int)) bool {
	if len(x.pending) == 0 {
		return false
	}
	preferred := x.model.Preferred
	if len(preferred) == 0 {
		preferred = []int{x.model.MaxBatch}
	}
	for _, w := range x.pending {
		q := x.queue(w)
		w.delayed = w.delayed || q.Delay && q.Timeout > 0 && now > w.at.Add(q.Timeout)
	}
	slices.SortStableFunc(x.pending, func(a, b *waitingOne) int {
		switch {
		case a.level != b.level:
			return a.level - b.level
		case a.delayed != b.delayed && a.delayed:
			return 1
		case a.delayed != b.delayed:
			return -1
		}
		return int(a.at - b.at)
	})
	n, best, now0, oldest, full := 0, 0, false, Never, false
	for _, w := range x.pending {
		if n == x.model.MaxBatch {
			full = true
			break
		}
		n++
		oldest = min(oldest, w.at)
		if slices.Contains(preferred, n) {
			best = n
		}
	}
	exceeded := x.model.MaxDelay > 0 && now >= oldest.Add(x.model.MaxDelay).RoundUp()
	switch {
	case best > 0 && !exceeded:
		n, now0 = best, true
	case full || n >= slices.Max(preferred) || exceeded || x.model.MaxDelay == 0:
		now0 = true
	}
	if !now0 {
		return false
	}
	b := &tritonBatch{}
	longest := 0
	for _, w := range x.pending[:n] {
		say(now, "begun", w.seq)
		b.seqs = append(b.seqs, w.seq)
		longest = max(longest, w.input)
	}
	x.pending = slices.Delete(x.pending, 0, n)
	d := x.model.Base + units.Duration(n)*x.model.PerItem + units.Duration(longest)*x.model.PerToken
	b.end = now.Add(max(d, units.Tick)).RoundUp()
	x.ends = append(x.ends, b.end)
	x.held = append(x.held, b)
	return true
}

func randomBatchModel(r *rand.Rand) plan.BatchModel {
	m := plan.BatchModel{Base: 5 * time.Millisecond, PerItem: oneOf(r, 0, time.Millisecond), PerToken: oneOf(r, 0,
		10*time.Microsecond), MaxBatch: 1 + r.IntN(12), MaxDelay: oneOf(r, 0, 3*time.Millisecond, 40*time.Millisecond),
		Instances: 1 + r.IntN(3)}
	for range r.IntN(3) {
		m.Preferred = append(m.Preferred, 1+r.IntN(m.MaxBatch))
	}
	m.PreserveOrder = r.IntN(3) == 0
	levels := r.IntN(4)
	if m.PreserveOrder {
		levels = r.IntN(2)
	}
	for range levels {
		m.Queues = append(m.Queues, plan.BatchQueue{Timeout: oneOf(r, 0, 4*time.Millisecond, 30*time.Millisecond,
			200*time.Millisecond), Delay: !m.PreserveOrder && r.IntN(2) == 0, MaxSize: oneOf(r, 0, 0, 1, 8)})
	}
	return m
}

// TestTriton compares the batcher with one that walks over all that wait whenever something may happen.
func TestTriton(t *testing.T) {
	for i := range uint64(1500) {
		r := rand.New(rand.NewPCG(i, 21))
		m := randomBatchModel(r)
		sc := script{prefix: 16}
		sc.load(r)
		kept := sc.calls[:0]
		for _, c := range sc.calls {
			if c.q.Level = r.IntN(5); c.kind != "speed" {
				kept = append(kept, c)
			}
		}
		sc.calls = kept
		naive := triton{model: m}
		want := naive.run(sc.calls)
		b, err := NewBatch(batchSpec(m))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		_, loads, seqs := sc.play(t, b, nil)
		for k, q := range seqs {
			if q.Begun != Never {
				got = append(got, fmt.Sprintf("%d begun %d", q.Begun, k))
			}
			switch {
			case q.Refused != "":
				got = append(got, fmt.Sprintf("%d refused %d", q.Ended, k))
			case q.Ended != Never:
				got = append(got, fmt.Sprintf("%d ended %d", q.Ended, k))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		for k := range max(len(want), len(got)) {
			if at(want, k) != at(got, k) {
				t.Fatalf("script %d, %+v: %s by walking, %s by the batcher", i, m, at(want, k), at(got, k))
			}
		}
		if l := loads[len(loads)-1]; l.Waiting != 0 || l.Running != 0 {
			t.Fatalf("script %d: %+v in the end", i, l)
		}
	}
}

// TestPriorities checks with figures worked out by hand which requests go first, which fail and when answers come. A
// batch takes 10 ms.
func TestPriorities(t *testing.T) {
	ms := units.Time(time.Millisecond)
	type request struct {
		at, level    int
		begun, ended float64 // 0 = never
		refused      string
	}
	for _, c := range []struct {
		name     string
		model    plan.BatchModel
		requests []request
	}{
		{"preferred sizes", plan.BatchModel{MaxBatch: 8, Preferred: []int{2, 4}, MaxDelay: 5 * time.Millisecond}, []request{
			{0, 0, 1, 11, ""}, {1, 0, 1, 11, ""}, // two
			{2, 0, 11, 21, ""}, {3, 0, 11, 21, ""}, {4, 0, 11, 21, ""}, // the first has waited long enough for all to go
			{20, 0, 25, 35, ""}, // alone
		}},
		{"levels", plan.BatchModel{MaxBatch: 1, Queues: make([]plan.BatchQueue, 3)}, []request{
			{1, 3, 1, 11, ""}, {2, 3, 31, 41, ""}, {3, 2, 21, 31, ""}, {4, 1, 11, 21, ""},
		}},
		{"time-out", plan.BatchModel{MaxBatch: 1, Queues: []plan.BatchQueue{{Timeout: 15 * time.Millisecond}}}, []request{
			{1, 0, 1, 11, ""}, {2, 0, 11, 21, ""}, {3, 0, 0, 0, "longer than 15ms"}, {6, 0, 21, 31, ""},
		}},
		{"delayed", plan.BatchModel{MaxBatch: 1, Queues: []plan.BatchQueue{{Timeout: 8 * time.Millisecond, Delay: true}}},
			[]request{{1, 0, 1, 11, ""}, {2, 0, 21, 31, ""}, {4, 0, 11, 21, ""}}},
		{"full", plan.BatchModel{MaxBatch: 1, Queues: []plan.BatchQueue{{MaxSize: 1}}}, []request{
			{1, 0, 1, 11, ""}, {2, 0, 11, 21, ""}, {3, 0, 0, 0, "1 requests wait already"},
		}},
		{"order", plan.BatchModel{MaxBatch: 1, Instances: 2, PerToken: time.Millisecond, PreserveOrder: true}, []request{
			{1, 0, 1, 21, ""}, {2, 0, 2, 21, ""}, // 10 and 1 ms
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.model.Instances = max(c.model.Instances, 1)
			if c.model.Base = 10 * time.Millisecond; c.name != "order" {
				c.model.PerToken = 0
			}
			b, err := NewBatch(batchSpec(c.model))
			if err != nil {
				t.Fatal(err)
			}
			var none recycle
			seqs := make([]*Sequence, len(c.requests))
			for i, w := range c.requests {
				seqs[i] = &Sequence{Input: 1, Output: 1, Level: w.level}
				if i == 0 && c.name == "order" {
					seqs[i].Input = 10
				}
				if !b.Submit(units.Time(w.at)*ms, seqs[i]) {
					t.Fatal(seqs[i].Refused)
				}
			}
			b.Advance(Never-1, &none)
			for i, w := range c.requests {
				q := seqs[i]
				begun, ended := Never, Never
				if w.ended > 0 {
					begun, ended = millis(w.begun), millis(w.ended)
				}
				if q.Begun != begun || q.Ended != ended && w.refused == "" || !strings.Contains(q.Refused, w.refused) || (w.refused == "") !=
					(q.Refused == "") {
					t.Errorf("request %d: begun %v, ended %v, refused %q; want %+v", i, q.Begun, q.Ended, q.Refused, w)
				}
			}
		})
	}
}
