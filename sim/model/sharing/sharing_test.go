package sharing

import (
	"testing"

	"orrery/sim/mig"
	"orrery/sim/units"
)

func TestFactor(t *testing.T) {
	for name, tc := range map[string]struct {
		use  Use
		want int64
	}{
		"whole":                     {Use{}, 1_000_000},
		"alone on a sliced GPU":     {Use{Kind: TimeSlicing}, 1_000_000},
		"two on a sliced GPU":       {Use{Kind: TimeSlicing, Neighbours: 1}, 476_190},
		"four on a sliced GPU":      {Use{Kind: TimeSlicing, Neighbours: 3}, 238_095},
		"MPS, others idle":          {Use{Kind: MPS, Share: 250}, 250_000},
		"MPS, others at work":       {Use{Kind: MPS, Share: 250, Others: 750}, 231_250},
		"1g of an H100: SMs":        {Use{Kind: MIG, GPU: "h100-sxm", Profile: "1g.10gb"}, 121_212},
		"double memory, Hopper":     {Use{Kind: MIG, GPU: "h100-sxm", Profile: "1g.20gb"}, 196_969},
		"double memory, Ampere":     {Use{Kind: MIG, GPU: "a100-80", Profile: "1g.20gb"}, 142_857},
		"4g: half the bandwidth":    {Use{Kind: MIG, GPU: "a100-40", Profile: "4g.20gb"}, 500_000},
		"SMs not known":             {Use{Kind: MIG, GPU: "b300", Profile: "3g.135gb"}, 428_571},
		"7g":                        {Use{Kind: MIG, GPU: "h200-sxm", Profile: "7g.141gb"}, 1_000_000},
		"two on an instance":        {Use{Kind: TimeSlicing, GPU: "a100-40", Profile: "4g.20gb", Neighbours: 1}, 238_095},
		"a fixed share":             {Use{Kind: Fixed, Share: 333}, 333_000},
		"so many that none is left": {Use{Kind: TimeSlicing, Neighbours: 5_000_000}, 1},
	} {
		if got, err := Factor(tc.use); err != nil || got != tc.want {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, tc.want)
		}
	}
	for name, use := range map[string]Use{
		"MPS without share":  {Kind: MPS},
		"MIG without one":    {Kind: MIG},
		"GPU without MIG":    {Kind: MIG, GPU: "t4", Profile: "1g.5gb"},
		"another's profile":  {Kind: MIG, GPU: "h100-sxm", Profile: "1g.5gb"},
		"negative neighbour": {Kind: TimeSlicing, Neighbours: -1},
	} {
		if got, err := Factor(use); err == nil {
			t.Errorf("%s: got %d", name, got)
		}
	}
}

// TestNothingIsGained holds that dividing a GPU never makes more of it: the speeds of all clients of any legal layout,
// and of any number of equal clients, sum to at most the whole GPU's.
func TestNothingIsGained(t *testing.T) {
	for _, gpu := range mig.GPUs() {
		g, _ := mig.Lookup(gpu)
		for _, layout := range g.Maximal() {
			var sum int64
			for _, i := range layout {
				f, err := Factor(Use{Kind: MIG, GPU: gpu, Profile: i.Profile})
				if err != nil {
					t.Fatal(err)
				}
				sum += f
			}
			if sum > One {
				t.Errorf("%s: %s sums to %d", gpu, mig.Describe(layout), sum)
			}
		}
	}
	for k := 1; k <= 48; k++ {
		slice, err1 := Factor(Use{Kind: TimeSlicing, Neighbours: k - 1})
		share := units.GPU / units.MilliGPU(k)
		mps, err2 := Factor(Use{Kind: MPS, Share: share, Others: share * units.MilliGPU(k-1)})
		if err1 != nil || err2 != nil || slice*int64(k) > One || mps*int64(k) > One {
			t.Errorf("%d clients: time-slicing %d, MPS %d each (%v, %v)", k, slice, mps, err1, err2)
		}
	}
	if got, err := Slowest([]Use{{}, {Kind: TimeSlicing, Neighbours: 1}, {Kind: Fixed, Share: 900}}); err != nil ||
		got != 476_190 {
		t.Errorf("slowest of three: %d, %v", got, err)
	}
}

func TestCard(t *testing.T) {
	if missing := Card().Missing(); missing != nil {
		t.Errorf("the card lacks %v", missing)
	}
}

// TestMeasured holds time-slicing against what was measured.
func TestMeasured(t *testing.T) {
	for _, m := range measured {
		f, err := Factor(Use{Kind: TimeSlicing, Neighbours: m.clients - 1})
		if off := float64(f)/One/m.speed - 1; err != nil || off < -0.06 || off > 0.06 {
			t.Errorf("%d clients: %.3f, measured %.3f (%v)", m.clients, float64(f)/One, m.speed, err)
		}
	}
}
