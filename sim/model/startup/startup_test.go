package startup_test

import (
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"orrery/sim/model/startup"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// drain runs the transfers to their end and returns when each was done, in seconds.
func drain(x *startup.Transfers, now units.Time, all map[*startup.Transfer]string, done map[string]float64) units.Time {
	for {
		t, at := x.Next()
		if t == nil {
			return now
		}
		now = max(now, at)
		x.End(now, t)
		done[all[t]] = now.Seconds()
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-5*math.Max(want, 1) {
		t.Errorf("%s: %v s, want %v s", what, got, want)
	}
}

// TestShares compares pulls that share links with closed forms.
func TestShares(t *testing.T) {
	var x startup.Transfers
	registry, n1, n2 := x.Link(2), x.Link(1), x.Link(1)
	all, done := map[*startup.Transfer]string{}, map[string]float64{}
	begin := func(at units.Time, name string, gb, limit float64, links ...startup.Link) {
		all[x.Begin(at, gb*1e9, limit, links...)] = name
	}
	// Two on n1 share its network: 0.5 GB/s each. The one on n2 has all of n2's: the registry is not the bottleneck.
	begin(0, "a", 10, 0, registry, n1)
	begin(0, "b", 5, 0, registry, n1)
	begin(0, "c", 10, 0, registry, n2)
	now := drain(&x, 0, all, done)
	near(t, "b", done["b"], 10)
	near(t, "a", done["a"], 15) // 5 GB in 10 s, then 5 GB alone
	near(t, "c", done["c"], 10)
	// Four nodes' worth of pulls over a registry of 2 GB/s: 0.5 GB/s each.
	for _, name := range []string{"d", "e", "f", "g"} {
		begin(now, name, 5, 0, registry, x.Link(1))
	}
	end := drain(&x, now, all, done)
	near(t, "g", end.Sub(now).Seconds(), 10)
	// A loader's limit leaves the rest to another.
	object := x.Link(4)
	begin(end, "slow", 10, 1, object)
	begin(end, "fast", 30, 0, object)
	begin(end, "free", 1, 0)
	begin(end, "capped", 8, 2)
	last := drain(&x, end, all, done)
	near(t, "slow", done["slow"]-end.Seconds(), 10)
	near(t, "fast", done["fast"]-end.Seconds(), 10)
	near(t, "free", done["free"]-end.Seconds(), 0)
	near(t, "capped", done["capped"]-end.Seconds(), 4)
	// One that is broken off gives back its part.
	k := x.Begin(last, 10e9, 0, n1)
	begin(last, "other", 10, 0, n1)
	x.End(last.Add(10*time.Second), k)
	drain(&x, last.Add(10*time.Second), all, done)
	near(t, "other", done["other"]-last.Seconds(), 15)
}

// TestConserved checks that a link carries no more than it can, and is never idle while somebody waits for it alone.
func TestConserved(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var x startup.Transfers
		link := x.Link(1)
		bytes, begins, n := 0.0, units.Time(0), 1+r.IntN(20)
		all, done := map[*startup.Transfer]string{}, map[string]float64{}
		for range n {
			gb := 0.1 + r.Float64()
			bytes += gb
			all[x.Begin(begins, gb*1e9, 0, link)] = "x"
		}
		end := drain(&x, begins, all, done)
		near(t, "the whole", end.Seconds(), bytes)
	}
}

func TestDefaults(t *testing.T) {
	for _, k := range startup.Kinds() {
		b, err := startup.Boot(k)
		if err != nil || b.Source == "" {
			t.Errorf("%s: %v", k, err)
		}
		for _, s := range []plan.Spread{b.Allocate, b.Boot, b.Driver, b.Devices, b.Terminate} {
			if s.Low > s.Mode || s.Mode > s.High {
				t.Errorf("%s: %v is no triangle", k, s)
			}
		}
	}
	if _, err := startup.Boot("x"); err == nil {
		t.Error("an unknown kind is accepted")
	}
	for _, f := range startup.Figures() {
		if f.What == "" || f.Value == "" || f.Source == "" {
			t.Errorf("%+v", f)
		}
	}
	if m := startup.Card().Missing(); m != nil {
		t.Errorf("the card lacks %v", m)
	}
	if table := startup.Card().Table; strings.Count(table, "held out") < 2 || strings.Count(table, "fitted on") < 7 {
		t.Errorf("the card compares little:\n%s", table)
	}
	for _, m := range regexp.MustCompile(`([+-]\d+) %`).FindAllStringSubmatch(startup.Card().Table, -1) {
		if off, err := strconv.Atoi(m[1]); err != nil || off < -25 || off > 30 {
			t.Errorf("a published figure is %s %% off", m[1])
		}
	}
	if none := startup.Default(0, plan.EngineBatch, 1); none.SnapshotGiB != 0 {
		t.Errorf("%+v", none)
	}
	one, two := startup.Default(16, plan.EngineVLLM, 1), startup.Default(16, plan.EngineVLLM, 2)
	if one.Join != (plan.Spread{}) || two.Join.High == 0 || one.Source == "" {
		t.Errorf("%+v %+v", one, two)
	}
}
