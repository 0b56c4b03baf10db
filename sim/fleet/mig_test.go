package fleet

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"orrery/sim/journal"
	"orrery/sim/mig"
	"orrery/sim/units"
)

func h100(t testing.TB) *mig.Geometry {
	t.Helper()
	g, ok := mig.Lookup("h100-sxm")
	if !ok {
		t.Fatal("no geometry")
	}
	return g
}

// mixed offers instances as the plugin's strategy mixed does, in n replicas.
func mixed(n int) func(string) (string, int) {
	return func(profile string) (string, int) { return mig.Resource(profile), n }
}

func partitionedNode(t testing.TB, gpus int, slots map[int][]Slot) Node {
	t.Helper()
	n, err := MakeNode(MakeNodeParams{Name: "n", Pool: "p", Model: "h100-sxm", Resource: gpu, GPUs: gpus, Slots: slots})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// names returns "gpu:profile@start/replica" of each slot; the profile of a whole GPU or share is its size.
func names(list []journal.Slot) string {
	var s []string
	for _, x := range list {
		p := x.Profile
		if p == "" {
			p = fmt.Sprint(int64(x.Share))
		}
		s = append(s, fmt.Sprintf("%d:%s@%d/%d", x.Index, p, x.Start, x.Replica))
	}
	return strings.Join(s, " ")
}

func TestStaticMIG(t *testing.T) {
	g := h100(t)
	balanced := []mig.Instance{{Profile: "1g.10gb", Start: 0}, {Profile: "1g.10gb", Start: 1},
		{Profile: "2g.20gb", Start: 2}, {Profile: "3g.40gb", Start: 4}}
	f := New(nil)
	mustAdd(t, f, partitionedNode(t, 4, map[int][]Slot{0: Instances(g, balanced, mixed(1)),
		1: Instances(g, balanced, mixed(2)), 2: {}}))
	offers := fmt.Sprint(f.Offers("n"))
	if offers != "map[nvidia.com/gpu:1 nvidia.com/mig-1g.10gb:6 nvidia.com/mig-2g.20gb:3 nvidia.com/mig-3g.40gb:3]" {
		t.Errorf("offers %s", offers)
	}
	for _, s := range []struct {
		owner, resource string
		n               int
		want            string
	}{
		{"a", "nvidia.com/mig-1g.10gb", 3, "0:1g.10gb@0/0 0:1g.10gb@1/0 1:1g.10gb@0/0"},
		{"a", "nvidia.com/mig-3g.40gb", 1, "0:3g.40gb@4/0"},
		{"b", "nvidia.com/mig-1g.10gb", 1, "1:1g.10gb@1/0"}, // of the instances the one with fewest owned replicas
		{"c", "nvidia.com/mig-1g.10gb", 2, "1:1g.10gb@0/1 1:1g.10gb@1/1"},
		{"c", gpu, 1, "3:1000@0/0"},
	} {
		got, err := f.Assign("n", s.owner, s.resource, s.n)
		if err != nil || names(got) != s.want {
			t.Errorf("%s asked %d of %s: got %s, %v, want %s", s.owner, s.n, s.resource, names(got), err, s.want)
		}
	}
	if _, list, _ := f.Holding("a"); names(list) != "0:1g.10gb@0/0 0:1g.10gb@1/0 0:3g.40gb@4/0 1:1g.10gb@0/0" {
		t.Errorf("a holds %s", names(list))
	}
	var few *UnavailableError
	if _, err := f.Assign("n", "d", "nvidia.com/mig-1g.10gb", 1); !errors.As(err, &few) || few.Available != 0 {
		t.Errorf("all taken: %v", err)
	}
	if _, err := f.Assign("n", "a", "nvidia.com/mig-3g.40gb", 1); !errors.Is(err, ErrOwnerHolds) {
		t.Errorf("one resource twice: %v", err)
	}
	if err := f.Divide("n", map[int][]Slot{0: nil}); !errors.Is(err, ErrNodeInUse) {
		t.Errorf("dividing a GPU in use: %v", err)
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
}

func TestDivideAndDown(t *testing.T) {
	g := h100(t)
	f := New(nil)
	mustAdd(t, f, partitionedNode(t, 2, nil))
	if err := f.SetDown("n", true); err != nil {
		t.Fatal(err)
	}
	if free, ok := f.Free("n", gpu); free != 0 || !ok || f.Offers("n")[gpu] != 0 {
		t.Errorf("down, but %d free, %v offered", free, f.Offers("n"))
	}
	seven, err := g.Place(map[string]int{"1g.10gb": 7})
	if err != nil {
		t.Fatal(err)
	}
	single := func(string) (string, int) { return gpu, 1 }
	if err := f.Divide("n", map[int][]Slot{1: Instances(g, seven, single)}); err != nil {
		t.Fatal(err)
	}
	if err := f.SetDown("n", false); err != nil {
		t.Fatal(err)
	}
	if got := f.Offers("n"); got[gpu] != 8 || f.Totals().Slots != 8 {
		t.Errorf("offers %v, totals %+v", got, f.Totals())
	}
	for what, by := range map[string]map[int][]Slot{
		"overlap":    {0: Instances(g, []mig.Instance{{Profile: "3g.40gb", Start: 0}, {Profile: "2g.20gb", Start: 2}}, single)},
		"unknown":    {2: nil},
		"half a GPU": {0: Replicas(Slot{Resource: gpu, Share: 500}, 2)},
		"both kinds": {0: append(Instances(g, seven[:1], single), Slot{Resource: gpu, Share: units.GPU, Start: 1})},
		"short":      {0: {{Resource: gpu, Share: 100, Profile: "1g.10gb", Slices: 1}}},
		"thin":       {0: {{Resource: gpu, Share: 142, Profile: "1g.10gb", Slices: 2}}},
	} {
		if err := f.Divide("n", by); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
}

func TestExactRefusals(t *testing.T) {
	f := New(nil)
	mustAdd(t, f, partitionedNode(t, 4, map[int][]Slot{3: {}}))
	one := func(i int, profile string, start int) []journal.Slot {
		return []journal.Slot{{Index: i, Profile: profile, Start: start}}
	}
	share := func(i int, m units.MilliGPU) []journal.Slot { return []journal.Slot{{Index: i, Share: m}} }
	for _, s := range []struct {
		owner string
		want  []journal.Slot
		got   string
		err   error
	}{
		{"a", one(0, "3g.40gb", 4), "0:3g.40gb@4/0", nil},
		{"b", one(0, "1g.10gb", 4), "", ErrTaken},
		{"b", one(0, "4g.40gb", 4), "", ErrRequest},
		{"b", one(0, "1g.10gb", 0), "0:1g.10gb@0/0", nil},
		{"b", one(0, "1g.10gb", 1), "0:1g.10gb@1/0", nil}, // more for the same owner
		{"c", share(0, 100), "", ErrTaken},
		{"c", share(1, 300), "1:300@0/0", nil},
		{"d", share(1, 300), "1:300@0/1", nil},
		{"e", share(1, 500), "", ErrTaken},
		{"e", share(1, 1000), "", ErrTaken},
		{"e", one(1, "1g.10gb", 0), "", ErrTaken},
		{"e", append(share(2, 1000), share(1, 500)...), "", ErrTaken}, // all or nothing
		{"e", share(2, 1000), "2:1000@0/0", nil},
		{"f", share(2, 1), "", ErrTaken},
		{"f", share(2, 1001), "", ErrTaken},
		{"f", share(1, 0), "", ErrRequest},
		{"f", share(3, 500), "", ErrRequest}, // in MIG mode, without instances
		{"f", share(9, 500), "", ErrRequest},
		{"f", nil, "", ErrRequest},
	} {
		got, err := f.AssignExact("n", s.owner, s.want)
		if !errors.Is(err, s.err) || (err == nil) != (s.err == nil) || names(got) != s.got {
			t.Errorf("%s asked %s: got %s, %v, want %s, %v", s.owner, names(s.want), names(got), err, s.got, s.err)
		}
		if err := f.Check(); err != nil {
			t.Fatal(err)
		}
	}
	if free, _ := f.Free("n", gpu); free != 0 {
		t.Errorf("%d whole GPUs free beside parts of each", free)
	}
	for _, owner := range []string{"a", "b", "c", "d", "e"} {
		if _, err := f.Release(owner); err != nil {
			t.Error(err)
		}
	}
	if free, _ := f.Free("n", gpu); free != 3 || f.Totals().Owned != 0 {
		t.Errorf("%d whole GPUs free, totals %+v", free, f.Totals())
	}
}

func TestLimitAndAligned(t *testing.T) {
	n := mustNode(t, "n", 8, 1)
	n.Most = map[string]int{gpu: 4}
	f := New(Aligned{Prefer: func(_ string, free []int, count int) []int {
		if count == 1 {
			return nil // no opinion
		}
		return free[len(free)-count:]
	}})
	mustAdd(t, f, n)
	for _, s := range []struct {
		n    int
		want string
	}{{2, "6/0 7/0"}, {1, "0/0"}, {3, "3/0 4/0 5/0"}} {
		if got, err := f.Assign("n", s.want, gpu, s.n); err != nil || place(got) != s.want {
			t.Errorf("%d: got %s, %v, want %s", s.n, place(got), err, s.want)
		}
	}
	for _, owner := range []string{"6/0 7/0", "0/0", "3/0 4/0 5/0"} {
		_, _ = f.Release(owner)
	}
	var limit *LimitError
	if _, err := f.Assign("n", "x", gpu, 5); !errors.As(err, &limit) || limit.Most != 4 {
		t.Errorf("five of at most four: %v", err)
	}
}

// ledger is the dumb version of a partitioned fleet of one node: a list of what is owned, checked as a whole.
type ledger struct {
	g     *mig.Geometry
	owned []owned
}

type owned struct {
	owner string
	slot  journal.Slot
}

// legal says whether everything owned of one GPU may be owned together.
func (l *ledger) legal(gpu int, extra journal.Slot) bool {
	var sum units.MilliGPU
	var live []mig.Instance
	shares := 0
	for _, o := range append(slices.Clone(l.owned), owned{"", extra}) {
		if o.slot.Index != gpu {
			continue
		}
		if o.slot.Profile == "" {
			sum += o.slot.Share
			shares++
			continue
		}
		live = append(live, mig.Instance{Profile: o.slot.Profile, Start: o.slot.Start})
	}
	return sum <= units.GPU && l.g.Check(live) == nil && (shares == 0 || len(live) == 0)
}

func (l *ledger) release(owner string) {
	l.owned = slices.DeleteFunc(l.owned, func(o owned) bool { return o.owner == owner })
}

// TestRandomPartitions drives a node of undivided and statically divided GPUs with random requests of all kinds, and
// compares with a ledger that looks at everything each time.
func TestRandomPartitions(t *testing.T) {
	g := h100(t)
	layouts := g.Maximal()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 7))
		f, l := New(nil), &ledger{g: g}
		static := Instances(g, layouts[r.IntN(len(layouts))], mixed(1+r.IntN(3)))
		mustAdd(t, f, partitionedNode(t, 4, map[int][]Slot{3: static}))
		resources := slices.Sorted(maps.Keys(f.Offers("n")))
		live := map[string]bool{}
		for step := range 200 {
			owner := fmt.Sprintf("pod-%d", r.IntN(12))
			switch {
			case live[owner] && r.IntN(2) == 0:
				if _, err := f.Release(owner); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
				l.release(owner)
				delete(live, owner)
			case r.IntN(3) == 0:
				got, err := f.Assign("n", owner, resources[r.IntN(len(resources))], 1+r.IntN(2))
				if err == nil {
					live[owner] = true
					l.take(t, owner, got)
				}
			default:
				w := journal.Slot{Index: r.IntN(3), Share: units.MilliGPU(1 + r.IntN(1000))}
				if r.IntN(2) == 0 {
					p := g.Profiles[r.IntN(len(g.Profiles))]
					w = journal.Slot{Index: r.IntN(3), Profile: p.Name, Start: p.Starts[r.IntN(len(p.Starts))]}
				}
				got, err := f.AssignExact("n", owner, []journal.Slot{w})
				if want := l.legal(w.Index, w); (err == nil) != want {
					t.Fatalf("seed %d, step %d: %s: legal %v, got %v", seed, step, names([]journal.Slot{w}), want, err)
				}
				if err == nil {
					live[owner] = true
					l.take(t, owner, got)
				}
			}
			if err := f.Check(); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			if n := f.Totals().SlotsOwned; n != len(l.owned) {
				t.Fatalf("seed %d, step %d: %d slots owned, the ledger has %d", seed, step, n, len(l.owned))
			}
		}
	}
}

// take enters what an owner got, after checking it against everything else.
func (l *ledger) take(t *testing.T, owner string, got []journal.Slot) {
	t.Helper()
	for _, s := range got {
		for _, o := range l.owned {
			if o.slot == s {
				t.Fatalf("%s and %s both own %+v", o.owner, owner, s)
			}
		}
		if s.Index < 3 && !l.legal(s.Index, s) {
			t.Fatalf("%s got %+v beside %+v", owner, s, l.owned)
		}
		l.owned = append(l.owned, owned{owner, s})
	}
}

// TestCheckFindsMade breaks the invariants of made parts by hand.
func TestCheckFindsMade(t *testing.T) {
	for want, damage := range map[string]func(d *Device){
		"overlaps":        func(d *Device) { d.Made[1].Start = 0 },
		"not there":       func(d *Device) { d.Made = d.Made[:1] },
		"held by \"\"":    func(d *Device) { d.Made[0].Owner = "thief" },
		"divided, and in": func(d *Device) { d.Slots[0].Owner = "a" },
		"thousandths are": func(d *Device) { d.Made[0].Share = 900 },
	} {
		f := New(nil)
		mustAdd(t, f, partitionedNode(t, 1, nil))
		for _, start := range []int{0, 4} {
			if _, err := f.AssignExact("n", fmt.Sprint(start), []journal.Slot{{Profile: "3g.40gb", Start: start}}); err != nil {
				t.Fatal(err)
			}
		}
		damage(&f.nodes["n"].GPUs[0])
		if err := f.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
