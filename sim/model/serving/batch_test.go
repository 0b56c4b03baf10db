package serving

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"orrery/sim/plan"
	"orrery/sim/units"
)

func batchSpec(m plan.BatchModel) Spec {
	return Spec{Engine: plan.Engine{Preset: plan.EngineBatch, Batch: &m}, Role: plan.RoleBoth, Seed: 5}
}

// means is an average of correlated values with its standard error, from batches long enough to be nearly independent.
type means struct{ sums, counts [40]float64 }

func (m *means) add(i, n int, x float64) {
	k := i * len(m.sums) / n
	m.sums[k] += x
	m.counts[k]++
}

func (m *means) estimate() (mean, err float64) {
	n := 0.0
	for i := range m.sums {
		mean += m.sums[i] / m.counts[i]
		n++
	}
	mean /= n
	for i := range m.sums {
		d := m.sums[i]/m.counts[i] - mean
		err += d * d
	}
	return mean, math.Sqrt(err / (n - 1) / n)
}

// near fails when an estimate is more than 4 standard errors from what theory says, or so uncertain that it says little.
func near(t *testing.T, what string, m *means, want float64) {
	t.Helper()
	got, err := m.estimate()
	t.Logf("%s: %.6g ± %.2g, theory %.6g", what, got, err, want)
	if math.Abs(got-want) > 4*err+1e-12 {
		t.Errorf("%s: %.6g ± %.2g, theory says %.6g", what, got, err, want)
	}
	if err > want/20 {
		t.Errorf("%s: ± %.2g is too uncertain for %.6g", what, err, want)
	}
}

// poisson submits n sequences of a Poisson process to a replica that is empty, waits for all, and returns their waits in
// the queue, seconds, and the part that waited.
func poisson(t *testing.T, r Replica, n int, rate float64, draw func(*rand.Rand) Sequence) (wait, waited means, seqs []*Sequence) {
	t.Helper()
	src := rand.New(rand.NewPCG(11, 13))
	at := units.Time(0)
	var none recycle
	for range n {
		at += units.Time(src.ExpFloat64()*1e6/rate) * 1000
		q := draw(src)
		r.Advance(at, &none)
		if !r.Submit(at, &q) {
			t.Fatal(q.Refused)
		}
		seqs = append(seqs, &q)
	}
	r.Advance(1e18, &none)
	for i, q := range seqs {
		if q.Ended == Never {
			t.Fatalf("request %d never ended", i)
		}
		w := q.Begun.Sub(q.Submitted)
		wait.add(i, n, w.Seconds())
		some := 0.0
		if w > 0 {
			some = 1
		}
		waited.add(i, n, some)
	}
	little(t, r, seqs)
	return wait, waited, seqs
}

// little checks Little's law on the counters: the integrals of how many are there are the sums of how long they were.
func little(t *testing.T, r Replica, seqs []*Sequence) {
	t.Helper()
	var waiting, running units.Duration
	for _, q := range seqs {
		waiting += q.Begun.Sub(q.Submitted)
		running += q.Ended.Sub(q.Begun)
	}
	l := r.Load()
	if l.WaitingTime+l.RunningTime != waiting+running {
		t.Errorf("integrals of waiting and running are %v, times are %v", l.WaitingTime+l.RunningTime, waiting+running)
	}
	if l.Preemptions == 0 && l.WaitingTime != waiting {
		t.Errorf("integral of waiting is %v, waits are %v", l.WaitingTime, waiting)
	}
}

func one(*rand.Rand) Sequence { return Sequence{Input: 1, Output: 1} }

// TestQueues compares a batcher without batching with M/M/1, M/M/c and M/G/1.
func TestQueues(t *testing.T) {
	const n = 400_000
	mean := 100 * time.Millisecond
	for _, c := range []struct {
		servers int
		load    float64 // of each
		cv      float64 // 1 = exponential
	}{{1, 0.5, 1}, {1, 0.8, 1}, {4, 0.7, 1}, {10, 0.85, 1}, {1, 0.7, 0}, {1, 0.7, 0.5}, {1, 0.5, 2}} {
		t.Run(fmt.Sprintf("c=%d,rho=%g,cv=%g", c.servers, c.load, c.cv), func(t *testing.T) {
			m := plan.BatchModel{Base: mean, MaxBatch: 1, Instances: c.servers, Exponential: c.cv == 1}
			if c.cv != 1 {
				m.CV = c.cv
			}
			r, err := New(batchSpec(m))
			if err != nil {
				t.Fatal(err)
			}
			rate := c.load * float64(c.servers) / mean.Seconds()
			wait, waited, _ := poisson(t, r, n, rate, one)
			if c.servers == 1 { // Pollaczek and Khinchine
				near(t, "wait", &wait, c.load/(1-c.load)*(1+c.cv*c.cv)/2*mean.Seconds())
				near(t, "part that waits", &waited, c.load)
				return
			}
			p := erlangC(c.servers, c.load*float64(c.servers))
			near(t, "wait", &wait, p*mean.Seconds()/(float64(c.servers)*(1-c.load)))
			near(t, "part that waits", &waited, p)
		})
	}
}

// erlangC is the probability that all of c servers are busy with a load of a.
func erlangC(c int, a float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = a * b / (float64(k) + a*b)
	}
	rho := a / float64(c)
	return b / (1 - rho*(1-b))
}

// TestDraws checks moments of the distributions.
func TestDraws(t *testing.T) {
	src := rand.New(rand.NewPCG(1, 2))
	const n = 400_000
	for _, cv := range []float64{0.1, 0.5, 1, 1.5, 3} {
		var m, v float64
		shape := 1 / (cv * cv)
		for range n {
			x := gamma(src, shape) / shape
			m += x / n
			v += x * x / n
		}
		got := math.Sqrt(v-m*m) / m
		if math.Abs(m-1) > 5*cv/math.Sqrt(n) || math.Abs(got/cv-1) > 0.04 {
			t.Errorf("cv %g: mean %g, cv %g", cv, m, got)
		}
	}
}

// TestBatching checks when batches start and how large they are, with figures worked out by hand.
func TestBatching(t *testing.T) {
	ms := units.Time(time.Millisecond)
	r, err := New(batchSpec(plan.BatchModel{Base: 10 * time.Millisecond, PerItem: time.Millisecond, PerToken: time.Microsecond,
		MaxBatch: 4, MaxDelay: 5 * time.Millisecond, Instances: 1}))
	if err != nil {
		t.Fatal(err)
	}
	seqs := make([]*Sequence, 8)
	var none recycle
	for i, at := range []int{0, 1, 2, 20, 20, 20, 21, 22} {
		seqs[i] = &Sequence{Input: 100 * (1 + i%2), Output: 1}
		if next := r.Next(); next <= units.Time(at)*ms {
			r.Advance(units.Time(at)*ms, &none)
		}
		r.Submit(units.Time(at)*ms, seqs[i])
	}
	r.Advance(Never-1, &none)
	for i, want := range []struct{ begun, ended float64 }{
		{5, 18.2}, {5, 18.2}, {5, 18.2}, // after the delay: 10 + 3 × 1 + 0.2
		{21, 35.2}, {21, 35.2}, {21, 35.2}, {21, 35.2}, // full
		{35.2, 46.4}, // had waited long enough
	} {
		begun, ended := seqs[i].Begun.Seconds()*1e3, seqs[i].Ended.Seconds()*1e3
		if math.Abs(begun-want.begun) > 1e-9 || math.Abs(ended-want.ended) > 1e-9 {
			t.Errorf("request %d: %g to %g ms, want %g to %g", i, begun, ended, want.begun, want.ended)
		}
	}
	if l := r.Load(); l.Iterations != 3 || l.Busy != time.Duration(38.6*1e6) || l.Running != 0 || l.Waiting != 0 {
		t.Errorf("load %+v", l)
	}
}

// TestBatchSpeed checks that a change of speed scales what is left, and that an aborted request gets no answer.
func TestBatchSpeed(t *testing.T) {
	ms := units.Time(time.Millisecond)
	r, err := New(batchSpec(plan.BatchModel{Base: 10 * time.Millisecond, MaxBatch: 1, Instances: 1}))
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := &Sequence{Input: 1, Output: 1}, &Sequence{Input: 1, Output: 1}, &Sequence{Input: 1, Output: 1}
	r.Submit(0, a)
	r.Submit(0, b)
	r.Submit(0, c)
	r.SetSpeed(4*ms, 500_000)
	r.Abort(5*ms, a)
	r.Abort(5*ms, b)
	var done recycle
	r.Advance(100*ms, &done)
	if c.Begun != 16*ms || c.Ended != 36*ms || done.ended != 1 || a.Ended != Never || b.Begun != Never {
		t.Errorf("c %v to %v, %d answers, a %v, b %v", c.Begun, c.Ended, done.ended, a.Ended, b.Begun)
	}
}

// TestBatchSteps checks that it does not matter in which steps time is advanced, and that Next is never too late.
func TestBatchSteps(t *testing.T) {
	for i := range uint64(60) {
		src := rand.New(rand.NewPCG(i, 1))
		m := randomBatchModel(src)
		m.CV = oneOf(src, 0, 0.5)
		s := batchSpec(m)
		sc := script{prefix: 16}
		sc.load(src)
		whole, stepped := steps(t, &sc, func() (Replica, error) { return New(s) })
		if a, b := strings.Join(whole, "\n"), strings.Join(stepped, "\n"); a != b {
			t.Fatalf("script %d: in one step\n%s\nin many\n%s", i, a, b)
		}
	}
}

// steps plays a script twice: without any steps between the calls, and advancing to each Next.
func steps(t *testing.T, sc *script, make func() (Replica, error)) (whole, stepped []string) {
	t.Helper()
	a, err := make()
	if err != nil {
		t.Fatal(err)
	}
	b, err := make()
	if err != nil {
		t.Fatal(err)
	}
	one, _, _ := sc.play(t, a, nil)
	walk := *sc
	walk.walk = true
	two, _, _ := walk.play(t, b, nil)
	slices.Sort(one.text) // late events come after calls
	slices.Sort(two.text)
	return one.text, two.text
}

// TestBatchErrors checks what is refused.
func TestBatchErrors(t *testing.T) {
	for _, c := range []struct {
		model *plan.BatchModel
		say   string
	}{
		{nil, "needs a batch model"},
		{&plan.BatchModel{Instances: 1}, "at least 1"},
		{&plan.BatchModel{Instances: 1, MaxBatch: 1, Base: -1}, "at least 0"},
		{&plan.BatchModel{Instances: 1, MaxBatch: 1, CV: 1, Exponential: true}, "remove cv"},
		{&plan.BatchModel{Instances: 1, MaxBatch: 4, Preferred: []int{2, 5}}, "between 1 and the largest batch, 4"},
		{&plan.BatchModel{Instances: 1, MaxBatch: 4, PreserveOrder: true, Queues: make([]plan.BatchQueue, 2)}, "one of them"},
		{&plan.BatchModel{Instances: 1, MaxBatch: 4, Queues: []plan.BatchQueue{{MaxSize: -1}}}, "at least 0"},
	} {
		_, err := New(Spec{Engine: plan.Engine{Preset: plan.EngineBatch, Batch: c.model}})
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%+v: error %v, want %q", c.model, err, c.say)
		}
	}
	r, _ := New(batchSpec(plan.BatchModel{MaxBatch: 1, Instances: 1}))
	if q := (Sequence{Input: 0, Output: 1}); r.Submit(0, &q) || q.Refused == "" {
		t.Error("a request without input was taken")
	}
}
