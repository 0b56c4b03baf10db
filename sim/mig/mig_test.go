package mig

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"orrery/sim/units"
)

// dump is what nvidia-smi says of a shape, and the engines that cannot be shared: the table of the brute-force oracle,
// written down a second time on purpose.
type dump struct {
	gpus    []string
	lgipp   string         // profile: {starts}:slices ×max, with the names of gpus[0]
	engines map[string]int // profile → sets of media engines that it takes of `sets`
	ofa     []string       // profiles that take the only optical flow engine
	sets    int
}

var dumps = []dump{
	{gpus: []string{"a100-40"}, ofa: []string{"1g.5gb+me", "7g.40gb"}, lgipp: `
		1g.5gb {0,1,2,3,4,5,6}:1 x7
		1g.5gb+me {0,1,2,3,4,5,6}:1 x1
		1g.10gb {0,2,4,6}:2 x4
		2g.10gb {0,2,4}:2 x3
		3g.20gb {0,4}:4 x2
		4g.20gb {0}:4 x1
		7g.40gb {0}:8 x1`},
	{gpus: []string{"h100-sxm", "h100-pcie", "a100-80", "a100-80-pcie"}, ofa: []string{"1g.10gb+me", "7g.80gb"}, lgipp: `
		1g.10gb {0,1,2,3,4,5,6}:1 x7
		1g.10gb+me {0,1,2,3,4,5,6}:1 x1
		1g.20gb {0,2,4,6}:2 x4
		2g.20gb {0,2,4}:2 x3
		3g.40gb {0,4}:4 x2
		4g.40gb {0}:4 x1
		7g.80gb {0}:8 x1`},
	{gpus: []string{"a30"}, ofa: []string{"1g.6gb+me", "2g.12gb+me", "4g.24gb"}, lgipp: `
		1g.6gb {0,1,2,3}:1 x4
		1g.6gb+me {0,1,2,3}:1 x1
		2g.12gb {0,2}:2 x2
		2g.12gb+me {0,2}:2 x1
		4g.24gb {0}:4 x1`},
	{gpus: []string{"rtx-pro-6000"}, sets: 4, ofa: []string{"1g.24gb+me", "1g.24gb+me.all", "2g.48gb+me.all", "4g.96gb",
		"4g.96gb+gfx"}, engines: map[string]int{"1g.24gb": 1, "1g.24gb+me": 1, "1g.24gb+gfx": 1, "1g.24gb+me.all": 4,
		"2g.48gb": 2, "2g.48gb+gfx": 2, "2g.48gb+me.all": 4, "4g.96gb": 4, "4g.96gb+gfx": 4}, lgipp: `
		1g.24gb {0,3,6,9}:3 x4
		1g.24gb+me {0,3,6,9}:3 x1
		1g.24gb+gfx {0,3,6,9}:3 x4
		1g.24gb+me.all {0,3,6,9}:3 x1
		1g.24gb-me {0,3,6,9}:3 x4
		2g.48gb {0,6}:6 x2
		2g.48gb+gfx {0,6}:6 x2
		2g.48gb+me.all {0,6}:6 x1
		2g.48gb-me {0,6}:6 x2
		4g.96gb {0}:12 x1
		4g.96gb+gfx {0}:12 x1`},
}

func everyDump() []dump { // the other GPUs have the same table under other names
	list := slices.Clone(dumps)
	names := func(gpu, g1, g2, g3, g7 string) dump {
		return dump{gpus: []string{gpu}, ofa: []string{"1g." + g1 + "+me", "7g." + g7}, lgipp: strings.NewReplacer(
			"1g.5gb", "1g."+g1, "1g.10gb", "1g."+g2, "2g.10gb", "2g."+g2, "3g.20gb", "3g."+g3, "4g.20gb", "4g."+g3,
			"7g.40gb", "7g."+g7).Replace(dumps[0].lgipp)}
	}
	return append(list,
		names("h100-nvl", "12gb", "24gb", "47gb", "94gb"), names("gh200-96", "12gb", "24gb", "48gb", "96gb"),
		names("h200-sxm", "18gb", "35gb", "71gb", "141gb"), names("h200-nvl", "18gb", "35gb", "71gb", "141gb"),
		names("gh200-144", "18gb", "36gb", "72gb", "144gb"), names("b200", "23gb", "45gb", "90gb", "180gb"),
		names("gb200", "23gb", "47gb", "93gb", "186gb"), names("b300", "34gb", "67gb", "135gb", "269gb"),
		names("gb300", "35gb", "70gb", "139gb", "278gb"))
}

type placement struct {
	Instance
	bits uint64
	max  int
}

var dumpLine = regexp.MustCompile(`^(\S+) \{([\d,]+)\}:(\d+) x(\d+)$`)

func (d dump) placements(t *testing.T) (out []placement) {
	for _, line := range strings.Split(strings.TrimSpace(d.lgipp), "\n") {
		m := dumpLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Fatalf("%q is no line of lgipp", line)
		}
		size, _ := strconv.Atoi(m[3])
		most, _ := strconv.Atoi(m[4])
		for _, s := range strings.Split(m[2], ",") {
			start, _ := strconv.Atoi(s)
			out = append(out, placement{Instance{m[1], start}, (1<<size - 1) << start, most})
		}
	}
	return out
}

// bruteForce finds every legal layout by taking or leaving each placement.
func (d dump) bruteForce(t *testing.T) map[string][]Instance {
	all := d.placements(t)
	found := map[string][]Instance{}
	var try func(i int, bits uint64, list []Instance)
	try = func(i int, bits uint64, list []Instance) {
		count, sets, ofa := map[string]int{}, 0, 0
		for _, x := range list {
			count[x.Profile]++
			sets += d.engines[x.Profile]
			if slices.Contains(d.ofa, x.Profile) {
				ofa++
			}
		}
		if i > 0 && count[all[i-1].Profile] > all[i-1].max || d.sets > 0 && sets > d.sets || ofa > 1 {
			return
		}
		if i == len(all) {
			found[Describe(list)] = slices.Clone(list)
			return
		}
		try(i+1, bits, list)
		if bits&all[i].bits == 0 {
			try(i+1, bits|all[i].bits, append(slices.Clip(list), all[i].Instance))
		}
	}
	try(0, 0, nil)
	return found
}

func TestLegalityAgainstBruteForce(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range everyDump() {
		truth := d.bruteForce(t)
		for _, gpu := range d.gpus {
			seen[gpu] = true
			g, ok := Lookup(gpu)
			if !ok {
				t.Errorf("%s has no geometry", gpu)
				continue
			}
			compareLayouts(t, gpu, g, truth)
			checkRandom(t, gpu, g, truth, d.placements(t))
		}
	}
	for _, gpu := range GPUs() {
		if !seen[gpu] {
			t.Errorf("%s is not in the oracle's table", gpu)
		}
	}
}

func compareLayouts(t *testing.T, gpu string, g *Geometry, truth map[string][]Instance) {
	t.Helper()
	n, maximal := 0, map[string]bool{}
	for _, list := range g.Maximal() {
		maximal[Describe(list)] = true
	}
	g.Layouts(func(list []Instance) bool {
		n++
		key := Describe(list)
		if _, ok := truth[key]; !ok {
			t.Errorf("%s: %s is not legal", gpu, key)
		}
		var sum units.MilliGPU
		for _, i := range list {
			sum += g.Share(i)
		}
		if sum > units.GPU {
			t.Errorf("%s: %s has %d thousandths of a GPU", gpu, key, sum)
		}
		open := false
		for _, p := range g.Profiles {
			var want []int
			for _, s := range p.Starts {
				if _, ok := truth[Describe(append(slices.Clone(list), Instance{p.Name, s}))]; ok {
					want = append(want, s)
				}
			}
			if got := g.Free(list, p.Name); !slices.Equal(got, want) {
				t.Errorf("%s: beside %s, %s may start at %v, got %v", gpu, key, p.Name, want, got)
			}
			open = open || len(want) > 0
		}
		if open == maximal[key] {
			t.Errorf("%s: %s: open %v, maximal %v", gpu, key, open, maximal[key])
		}
		return true
	})
	if n != len(truth) {
		t.Errorf("%s: %d layouts, brute force finds %d", gpu, n, len(truth))
	}
}

func checkRandom(t *testing.T, gpu string, g *Geometry, truth map[string][]Instance, all []placement) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	legal := 0
	for range 1000 {
		var list []Instance
		for range 1 + r.IntN(5) {
			list = append(list, all[r.IntN(len(all))].Instance)
		}
		_, want := truth[Describe(list)]
		if got := g.legal(list) == ""; got != want {
			t.Errorf("%s: %s: legal %v, got %v", gpu, Describe(list), want, got)
		}
		if want {
			legal++
		}
	}
	if legal < 10 {
		t.Errorf("%s: only %d of the random layouts are legal", gpu, legal)
	}
}

// TestPlaceFindsAll asks for the profiles of every legal layout, and for one too many.
func TestPlaceFindsAll(t *testing.T) {
	for _, gpu := range []string{"h100-sxm", "a30", "rtx-pro-6000"} {
		g, _ := Lookup(gpu)
		done := map[string]bool{}
		g.Layouts(func(list []Instance) bool {
			want := map[string]int{}
			for _, i := range list {
				want[i.Profile]++
			}
			if key := Counts(want); !done[key] {
				done[key] = true
				got, err := g.Place(want)
				have := map[string]int{}
				for _, i := range got {
					have[i.Profile]++
				}
				if err != nil || Counts(have) != key || g.legal(got) != "" {
					t.Errorf("%s: %s: got %s, %v", gpu, key, Describe(got), err)
				}
			}
			return true
		})
	}
}

// TestDriverExamples replays the creations shown in NVIDIA's MIG user guide (A100 40GB; "Instance Geometry") and in
// public dumps of an RTX PRO 6000 and an H100.
func TestDriverExamples(t *testing.T) {
	for _, tc := range []struct{ gpu, create, want string }{
		{"a100-40", "1g.5gb 2g.10gb 4g.20gb", "6 4 0"},
		{"a100-40", "1g.5gb 1g.5gb 2g.10gb 3g.20gb", "6 4 0 -"},
		{"a100-40", "3g.20gb 1g.5gb 2g.10gb 1g.5gb", "4 0 2 1"},
		{"a100-40", "2g.10gb 1g.5gb 1g.5gb 1g.5gb 1g.5gb 1g.5gb", "4 6 0 1 2 3"},
		{"h100-pcie", strings.TrimSpace(strings.Repeat("1g.10gb ", 7)), "6 4 5 0 1 2 3"},
		{"rtx-pro-6000", "1g.24gb 1g.24gb 1g.24gb 1g.24gb", "0 3 6 9"},
		{"rtx-pro-6000", "2g.48gb 1g.24gb 1g.24gb", "0 6 9"},
	} {
		g, _ := Lookup(tc.gpu)
		var list []Instance
		var got []string
		for _, name := range strings.Fields(tc.create) {
			s, ok := g.Next(list, name)
			if !ok {
				got = append(got, "-")
				continue
			}
			got = append(got, strconv.Itoa(s))
			list = append(list, Instance{name, s})
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %s: got %v, the device shows %s", tc.gpu, tc.create, got, tc.want)
		}
	}
}

// TestFacts holds what is known of combinations, worked out by hand.
func TestFacts(t *testing.T) {
	g, _ := Lookup("h100-sxm")
	free := func(profile string, list ...Instance) string { return fmt.Sprint(g.Free(list, profile)) }
	i := func(profile string, start int) Instance { return Instance{profile, start} }
	for what, tc := range map[string]struct{ got, want string }{
		"3g@4 leaves four 1g":            {free("1g.10gb", i("3g.40gb", 4)), "[0 1 2 3]"},
		"3g@0 leaves three 1g":           {free("1g.10gb", i("3g.40gb", 0)), "[4 5 6]"},
		"two 2g beside a 3g only at 4":   {free("3g.40gb", i("2g.20gb", 0), i("2g.20gb", 2)), "[4]"},
		"no 3g between 2g@0 and 2g@4":    {free("3g.40gb", i("2g.20gb", 0), i("2g.20gb", 4)), "[]"},
		"4g and 3g":                      {free("3g.40gb", i("4g.40gb", 0)), "[4]"},
		"one +me a GPU":                  {free("1g.10gb+me", i("1g.10gb+me", 6)), "[]"},
		"double memory strands compute":  {free("2g.20gb", i("1g.20gb", 4)), "[0 2]"},
		"nothing beside 7g":              {free("1g.10gb", i("7g.80gb", 0)), "[]"},
		"an unknown profile has no room": {free("1g.5gb"), "[]"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", what, tc.got, tc.want)
		}
	}
	var seven units.MilliGPU
	for s := range 7 {
		seven += g.Share(i("1g.10gb", s))
	}
	if seven != units.GPU || g.Share(i("4g.40gb", 0))+g.Share(i("3g.40gb", 4)) != units.GPU ||
		g.Share(i("7g.80gb", 0)) != units.GPU || g.Share(i("nonsense", 0)) != 0 {
		t.Errorf("shares: 7 × 1g = %d, 3g = %d, 7g = %d", seven, g.Share(i("3g.40gb", 0)), g.Share(i("7g.80gb", 0)))
	}
	rtx, _ := Lookup("rtx-pro-6000")
	if rtx.Share(Instance{"1g.24gb", 9}) != 250 || rtx.Share(Instance{"2g.48gb-me", 6}) != 500 {
		t.Error("shares of an RTX PRO 6000 are not quarters")
	}
	if got := Resource("1g.24gb+me.all"); got != "nvidia.com/mig-1g.24gb.me.all" {
		t.Errorf("resource %s", got)
	}
	for profile, want := range map[string]int64{"1g.24gb": 24192, "4g.96gb": 97408} { // MiB, as CUDA reports them
		if p, _ := rtx.Profile(profile); p.MemoryMiB != want {
			t.Errorf("%s has %d MiB", profile, p.MemoryMiB)
		}
	}
	if _, ok := Lookup("l40s"); ok {
		t.Error("an L40S cannot be partitioned")
	}
}

func TestErrorsNameTheNearest(t *testing.T) {
	g, _ := Lookup("h100-sxm")
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"overlap", g.Check([]Instance{{"3g.40gb", 0}, {"2g.20gb", 2}, {"2g.20gb", 4}}), "2g.20gb@2 overlaps another " +
			"instance; the nearest legal layouts are (2g.20gb@0 2g.20gb@2 3g.40gb@4), (3g.40gb@0 2g.20gb@4), " +
			"(2g.20gb@2 2g.20gb@4)"},
		{"start", g.Check([]Instance{{"4g.40gb", 4}}), "4g.40gb cannot start at slice 4; it starts at 0; the nearest " +
			"legal layouts are (4g.40gb@0), (4g.40gb@0 1g.10gb@4), (4g.40gb@0 1g.10gb+me@4)"},
		{"of another GPU", g.Check([]Instance{{"1g.5gb", 0}}), "the GPU has no profile 1g.5gb; it has 1g.10gb, " +
			"1g.10gb+me, 1g.20gb, 2g.20gb, 3g.40gb, 4g.40gb, 7g.80gb; the nearest"},
		{"too many", placeErr(g, map[string]int{"3g.40gb": 3}), "3 × 3g.40gb do not fit on one GPU; the nearest legal " +
			"layouts are (3g.40gb@0 3g.40gb@4), (3g.40gb@0), (1g.10gb@0 3g.40gb@4)"},
		{"unknown", placeErr(g, map[string]int{"9g.90gb": 1}), "the GPU has no profile 9g.90gb"},
		{"me twice", placeErr(g, map[string]int{"1g.10gb+me": 2}), "2 × 1g.10gb+me do not fit"},
	} {
		if tc.err == nil || !strings.Contains(tc.err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.name, tc.err, tc.want)
		}
	}
}

func placeErr(g *Geometry, want map[string]int) error {
	_, err := g.Place(want)
	return err
}

func TestBadFilesAreRefused(t *testing.T) {
	text := string(embedded)
	for want, change := range map[string][2]string{
		"keep its order":       {"{class: 1g2, name: 1g.10gb", "{class: 2g, name: 1g.10gb"},
		"has a geometry":       {"gpus: [a30]", "gpus: [a100-40]"},
		"is not in this file":  {"shape: twelve\n  source", "shape: eleven\n  source"},
		"unknown engine":       {"limited: [dec, enc, jpeg, ofa]", "limited: [dvd]"},
		"unknown field":        {"confidence: high\n  limited: [ofa]", "trust: high\n  limited: [ofa]"},
		"though some are":      {"confidence: medium\n  profiles", "confidence: medium\n  limited: [ofa]\n  profiles"},
		"7 profiles for the 5": {"- gpus: [a100-40]\n  shape: seven", "- gpus: [a100-40]\n  shape: four"},
	} {
		bad := strings.Replace(text, change[0], change[1], 1)
		if bad == text {
			t.Fatalf("%s: nothing to replace", want)
		}
		if _, err := load("x.yaml", []byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestConfigs(t *testing.T) {
	for _, tc := range []struct{ gpu, config, want string }{
		{"h100-sxm", "all-1g.10gb", "7 × 1g.10gb true"},
		{"h100-sxm", "all-1g.10gb.me", "1 × 1g.10gb+me true"},
		{"h100-sxm", "all-balanced", "2 × 1g.10gb, 1 × 2g.20gb, 1 × 3g.40gb true"},
		{"a30", "all-balanced", "2 × 1g.6gb, 1 × 2g.12gb true"},
		{"rtx-pro-6000", "all-1g.24gb-me", "4 × 1g.24gb-me true"},
		{"rtx-pro-6000", "all-2g.48gb.me.all", "1 × 2g.48gb+me.all true"},
		{"b200", "all-disabled", " false"},
		{"b200", "all-enabled", " true"},
	} {
		g, _ := Lookup(tc.gpu)
		profiles, enabled, err := g.Config(tc.config)
		if got := fmt.Sprint(Counts(profiles), " ", enabled); err != nil || got != tc.want {
			t.Errorf("%s %s: got %s, %v, want %s", tc.gpu, tc.config, got, err, tc.want)
		}
	}
	for _, gpu := range GPUs() {
		g, _ := Lookup(gpu)
		for _, name := range g.Configs() {
			profiles, _, err := g.Config(name)
			if err == nil {
				_, err = g.Place(profiles)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", gpu, name, err)
			}
		}
		for _, p := range g.Profiles {
			if got := Asked(Resource(p.Name)); got != p.Name || Asked(Resource(p.Name)+".shared") != p.Name {
				t.Errorf("%s: %s stands for %q", gpu, Resource(p.Name), got)
			}
		}
	}
	g, _ := Lookup("h100-sxm")
	if _, _, err := g.Config("all-1g.5gb"); err == nil || !strings.Contains(err.Error(), "it has all-disabled, all-e") {
		t.Errorf("another GPU's configuration: %v", err)
	}
	if got := Asked("nvidia.com/gpu"); got != "" {
		t.Errorf("a whole GPU is no instance, got %q", got)
	}
}
