package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"orrery/sim/journal"
	"orrery/sim/units"
)

const gpu = "nvidia.com/gpu"

func mustNode(t testing.TB, name string, gpus, replicas int) Node {
	t.Helper()
	n, err := MakeNode(MakeNodeParams{Name: name, Pool: "p", Model: "h100", Resource: "nvidia.com/gpu", GPUs: gpus,
		Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustAdd(t testing.TB, f *Fleet, n Node) {
	t.Helper()
	if err := f.Add(n); err != nil {
		t.Fatal(err)
	}
}

// place returns "gpu" or "gpu/replica" of each slot.
func place(slots []journal.Slot) string {
	var s []string
	for _, x := range slots {
		s = append(s, fmt.Sprintf("%d/%d", x.Index, x.Replica))
	}
	return strings.Join(s, " ")
}

func TestSharesSumExactly(t *testing.T) {
	for replicas := 1; replicas <= 1000; replicas++ {
		n := mustNode(t, "n", 1, replicas)
		var sum, low, high units.MilliGPU
		low = units.GPU
		for _, s := range n.GPUs[0].Slots {
			sum += s.Share
			low, high = min(low, s.Share), max(high, s.Share)
		}
		if sum != units.GPU || high-low > 1 {
			t.Fatalf("%d replicas: sum %d, shares from %d to %d", replicas, sum, low, high)
		}
	}
	if _, err := MakeNode(MakeNodeParams{Name: "n", GPUs: 1, Replicas: 1001}); err == nil {
		t.Error("1001 replicas of 1000 thousandths accepted")
	}
}

func TestPolicies(t *testing.T) {
	type step struct {
		owner string // "-x" releases x
		n     int
		want  string
	}
	cases := map[string]struct {
		policy   string
		replicas int
		steps    []step
	}{
		"whole GPUs: lowest free": {"", 1, []step{{"a", 2, "0/0 1/0"}, {"b", 1, "2/0"}, {"-a", 0, ""},
			{"c", 2, "0/0 1/0"}}},
		"distributed": {"distributed", 4, []step{{"a", 1, "0/0"}, {"b", 1, "1/0"}, {"c", 2, "2/0 3/0"}, {"d", 1, "0/1"},
			{"-b", 0, ""}, {"e", 2, "1/0 2/1"}}},
		"packed": {"packed", 4, []step{{"a", 1, "0/0"}, {"b", 1, "0/1"}, {"c", 3, "0/2 0/3 1/0"}, {"-a", 0, ""},
			{"d", 1, "0/0"}}},
		"spread": {"spread", 4, []step{{"a", 2, "0/0 1/0"}, {"b", 3, "0/1 2/0 3/0"}, {"c", 5, "0/2 1/1 1/2 2/1 3/1"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := PolicyByName(tc.policy)
			if err != nil {
				t.Fatal(err)
			}
			f := New(p)
			mustAdd(t, f, mustNode(t, "n", 4, tc.replicas))
			for _, s := range tc.steps {
				if strings.HasPrefix(s.owner, "-") {
					if _, err := f.Release(s.owner[1:]); err != nil {
						t.Fatal(err)
					}
					continue
				}
				got, err := f.Assign("n", s.owner, gpu, s.n)
				if err != nil {
					t.Fatal(err)
				}
				if place(got) != s.want {
					t.Errorf("%s asked %d: got %s, want %s", s.owner, s.n, place(got), s.want)
				}
			}
			if err := f.Check(); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := PolicyByName("random"); err == nil {
		t.Error("unknown policy accepted")
	}
}

func TestErrorsChangeNothing(t *testing.T) {
	f := New(nil)
	mustAdd(t, f, mustNode(t, "n", 2, 1))
	if _, err := f.Assign("n", "a", gpu, 1); err != nil {
		t.Fatal(err)
	}
	before := f.Totals()
	half := mustNode(t, "half", 1, 2)
	half.GPUs[0].Slots = half.GPUs[0].Slots[:1]
	var unavailable *UnavailableError
	for name, tc := range map[string]struct {
		do   func() error
		want error
	}{
		"unknown node":   {func() error { _, err := f.Assign("m", "b", gpu, 1); return err }, ErrNodeUnknown},
		"second holding": {func() error { _, err := f.Assign("n", "a", gpu, 1); return err }, ErrOwnerHolds},
		"nothing":        {func() error { _, err := f.Assign("n", "b", gpu, 0); return err }, ErrRequest},
		"nobody":         {func() error { _, err := f.Assign("n", "", gpu, 1); return err }, ErrRequest},
		"unknown owner":  {func() error { _, err := f.Release("b"); return err }, ErrOwnerUnknown},
		"node twice":     {func() error { return f.Add(mustNode(t, "n", 2, 1)) }, ErrNodeExists},
		"node in use":    {func() error { return f.Remove("n") }, ErrNodeInUse},
		"remove unknown": {func() error { return f.Remove("m") }, ErrNodeUnknown},
		"half a GPU":     {func() error { return f.Add(half) }, ErrNodeInvalid},
	} {
		if err := tc.do(); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	if _, err := f.Assign("n", "b", gpu, 2); !errors.As(err, &unavailable) ||
		*unavailable != (UnavailableError{"n", "nvidia.com/gpu", 2, 1}) {
		t.Errorf("too many: got %v", err)
	}
	if f.Totals() != before {
		t.Errorf("totals changed from %+v to %+v", before, f.Totals())
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
}

// twin is the dumb version of a fleet: a list of slots, and a sort for every choice.
type twin struct {
	policy string
	slots  []twinSlot
}

type twinSlot struct {
	node         string
	gpu, replica int
	owner        string
}

func (w *twin) assign(node, owner string, n int) ([]journal.Slot, bool) {
	picked := map[int]int{}
	var out []*twinSlot
	for range n {
		var free []*twinSlot
		owned := map[int]int{}
		for i := range w.slots {
			if s := &w.slots[i]; s.node == node {
				if s.owner == "" {
					free = append(free, s)
				} else {
					owned[s.gpu]++
				}
			}
		}
		if len(free) == 0 {
			for _, s := range out {
				s.owner = ""
			}
			return nil, false
		}
		slices.SortFunc(free, func(a, b *twinSlot) int {
			byOwned, byPicked := cmp.Compare(owned[a.gpu], owned[b.gpu]), cmp.Compare(picked[a.gpu], picked[b.gpu])
			rest := cmp.Or(cmp.Compare(a.gpu, b.gpu), cmp.Compare(a.replica, b.replica))
			switch w.policy {
			case "packed":
				return cmp.Or(-byOwned, byPicked, rest)
			case "spread":
				return cmp.Or(byPicked, byOwned, rest)
			}
			return cmp.Or(byOwned, byPicked, rest)
		})
		free[0].owner = owner
		picked[free[0].gpu]++
		out = append(out, free[0])
	}
	var slots []journal.Slot
	for _, s := range out {
		slots = append(slots, journal.Slot{Index: s.gpu, Replica: s.replica, Share: 0})
	}
	slices.SortFunc(slots, func(a, b journal.Slot) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Replica, b.Replica))
	})
	return slots, true
}

func TestRandomSequencesAgainstTwin(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		policy := policies[seed%3].name
		p, _ := PolicyByName(policy)
		f, w := New(p), &twin{policy: policy}
		for i := range 3 {
			n := mustNode(t, fmt.Sprintf("n%d", i), 1+r.IntN(8), 1+r.IntN(5))
			mustAdd(t, f, n)
			for _, d := range n.GPUs {
				for _, s := range d.Slots {
					w.slots = append(w.slots, twinSlot{n.Name, d.Index, s.Replica, ""})
				}
			}
		}
		var live []string
		for step := range 300 {
			if len(live) > 0 && r.IntN(3) == 0 {
				i := r.IntN(len(live))
				owner := live[i]
				live = slices.Delete(live, i, i+1)
				if _, err := f.Release(owner); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
				for i := range w.slots {
					if w.slots[i].owner == owner {
						w.slots[i].owner = ""
					}
				}
			} else {
				node, owner, n := fmt.Sprintf("n%d", r.IntN(3)), fmt.Sprintf("pod-%d", step), 1+r.IntN(6)
				got, err := f.Assign(node, owner, gpu, n)
				want, fits := w.assign(node, owner, n)
				if (err == nil) != fits || place(got) != place(want) {
					t.Fatalf("seed %d (%s), step %d: %d on %s: got %s (%v), twin %s", seed, policy, step, n, node,
						place(got), err, place(want))
				}
				if fits {
					live = append(live, owner)
				}
			}
			if step%50 == 0 {
				if err := f.Check(); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
			}
		}
		for _, owner := range live {
			if _, err := f.Release(owner); err != nil {
				t.Fatal(err)
			}
		}
		if tot := f.Totals(); tot.SlotsOwned != 0 || tot.Owned != 0 || tot.Owners != 0 {
			t.Fatalf("seed %d: something is left: %+v", seed, tot)
		}
		for _, name := range f.Names() {
			if err := f.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		if f.Totals() != (Totals{}) {
			t.Fatalf("seed %d: empty fleet has totals %+v", seed, f.Totals())
		}
	}
}

// TestCheckFinds breaks each invariant by hand: a check that cannot fail checks nothing.
func TestCheckFinds(t *testing.T) {
	for want, damage := range map[string]func(f *Fleet){
		"shares sum":      func(f *Fleet) { f.nodes["n"].GPUs[0].Slots[0].Share-- },
		"owned by \"\"":   func(f *Fleet) { f.nodes["n"].GPUs[0].Slots[0].Owner = "" },
		"both hold":       func(f *Fleet) { f.holdings["b"] = f.holdings["a"] },
		"which is gone":   func(f *Fleet) { delete(f.nodes, "n") },
		"slots free":      func(f *Fleet) { f.nodes["n"].offers[0].free++ },
		"slots owned":     func(f *Fleet) { f.nodes["n"].owned++ },
		"recorded {":      func(f *Fleet) { f.totals.Owned++ },
		"both have the G": func(f *Fleet) { f.nodes["n"].GPUs[1].UUID = f.nodes["n"].GPUs[0].UUID },
	} {
		f := New(nil)
		mustAdd(t, f, mustNode(t, "n", 2, 2))
		if _, err := f.Assign("n", "a", gpu, 1); err != nil {
			t.Fatal(err)
		}
		damage(f)
		if err := f.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestGenerationsAndViews(t *testing.T) {
	f := New(nil)
	mustAdd(t, f, mustNode(t, "n", 2, 1))
	for i := range 3 {
		if _, err := f.Assign("n", "a", gpu, 1); err != nil {
			t.Fatal(err)
		}
		n, _ := f.Node("n")
		if g := n.GPUs[0].Slots[0].Generation; g != uint64(i+1) {
			t.Errorf("tenure %d has generation %d", i+1, g)
		}
		n.GPUs[0].Slots[0].Owner = "thief" // a copy: must not reach the fleet
		node, slots, ok := f.Holding("a")
		want := []journal.Slot{{Index: 0, Share: units.GPU}}
		if diff := gocmp.Diff(want, slots); !ok || node != "n" || diff != "" {
			t.Errorf("holding on %q: %s", node, diff)
		}
		if got := f.Owners("n"); !slices.Equal(got, []string{"a"}) {
			t.Errorf("owners %q", got)
		}
		if node, err := f.Release("a"); err != nil || node != "n" {
			t.Errorf("released from %q: %v", node, err)
		}
	}
	free, ok := f.Free("n", gpu)
	if free != 2 || !ok {
		t.Errorf("free %d, %v", free, ok)
	}
	if _, ok := f.Free("n", "amd.com/gpu"); ok {
		t.Error("the node offers what it has not")
	}
}

func BenchmarkAssignRelease(b *testing.B) {
	f := New(nil)
	mustAdd(b, f, mustNode(b, "n", 8, 1))
	for b.Loop() {
		if _, err := f.Assign("n", "ns/pod", gpu, 4); err != nil {
			b.Fatal(err)
		}
		if _, err := f.Release("ns/pod"); err != nil {
			b.Fatal(err)
		}
	}
}
