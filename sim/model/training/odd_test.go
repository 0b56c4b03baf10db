package training

import (
	"math"
	"math/rand/v2"
	"testing"

	"orrery/sim/plan"
)

// TestOddRanks: a job of which some pods have done their work goes on with what is left, which its groups need not
// divide; its speed is still a number above nothing, whatever the job and the network.
func TestOddRanks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	pick := func(n ...int) int { return n[r.IntN(len(n))] }
	names := []string{"llama-3-8b", "llama-3-405b", "mixtral-8x22b", "deepseek-v3"}
	for i := range 3000 {
		m, err := Lookup(names[r.IntN(len(names))])
		if err != nil {
			t.Fatal(err)
		}
		tr := &plan.Training{Name: m.Name, Model: &m, Sequence: pick(1, 128, 8192, 10_000_000), GlobalBatch: pick(0, 1, 256, 1e8),
			MicroBatch: pick(1, 3, 100_000), Tensor: pick(1, 3, 8, 100_000), Pipeline: pick(1, 2, 7, 16, 100_000),
			Stages: pick(1, 2, 5), Context: pick(1, 2, 16), Expert: pick(1, 4, 8), Precision: "fp8",
			Sharding:  []string{plan.ShardOptimizer, plan.ShardFull, "none"}[r.IntN(3)],
			Recompute: "none", Ranks: plan.RanksTopology}
		if r.IntN(5) == 0 {
			tr = talker(float64(r.IntN(96))/100, math.Pow(10, float64(r.IntN(12)-6)))
		}
		tr.Reference = []*plan.Accelerator{nil, h100(), b200()}[r.IntN(3)]
		layers := clos()
		for l := range layers {
			layers[l].UplinkGBs, layers[l].HopMicros = math.Pow(10, float64(r.IntN(12)-6)), float64(pick(0, 1, 1e7))
		}
		var nodes []int
		for range 1 + r.IntN(6) {
			nodes = append(nodes, r.IntN(40))
		}
		p := at(layers, []*plan.Accelerator{h100(), b200()}[r.IntN(2)], pick(1, 3, 8), nodes...)
		got := Estimate(tr, p)
		for name, f := range map[string]float64{"hardware": got.Hardware, "placement": got.Placement} {
			if math.IsNaN(f) || f <= 0 || f > 1e6 {
				t.Fatalf("case %d: %s %v\n%+v\n%+v\n%+v", i, name, f, tr, p, got)
			}
		}
	}
}
