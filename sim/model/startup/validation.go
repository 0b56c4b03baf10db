package startup

import (
	"fmt"
	"math"
	"strings"

	"orrery/sim/plan"
)

// row compares a published figure with the model's, at the modes of its distributions.
type row struct {
	what      string
	unit      string
	published float64
	predicted float64
	fitted    bool // a parameter was chosen on it
}

// fastGBs is the disk on which the loader was measured (ServerlessLLM benchmarks, commit 9f50241).
const fastGBs = 29.4

// rows are the published measurements. Weights: 32.76, 8.03 and 0.596 billion parameters in 16 bits, and the 116.8
// billion of gpt-oss-120b in 4.
func rows() (out []row) {
	stock := func(gigabytes float64) float64 {
		return gigabytes / math.Min(Default(0, plan.EngineVLLM, 1).LoadGBs, fastGBs)
	}
	restored := func(gib float64) float64 {
		s := Default(1, plan.EngineVLLM, 1)
		return float64(gib*GiB)/(s.RestoreGBs*gigabyte) + s.Restore.Mode.Seconds()
	}
	size := func(params, bytes float64) float64 {
		return Default(float64(params*bytes)/GiB, plan.EngineVLLM, 1).SnapshotGiB
	}
	return []row{
		{"weights of Qwen3-32B (65 GB), stock loader, cached by the system", "s", 12.5, stock(65), true},
		{"weights of Qwen3-32B (65 GB), stock loader, from NVMe", "s", 20.6, stock(65), true},
		{"weights of Llama-3.1-8B (16 GB), stock loader, from NVMe", "s", 4.4, stock(16.06), false},
		{"restore of a snapshot of 6.2 GiB", "s", 2.4, restored(6.2), false},
		{"restore of a snapshot of 26 GiB", "s", 4.7, restored(26), true},
		{"restore of a snapshot of 129 GiB", "s", 15, restored(129), true},
		{"snapshot of a model of 0.6B", "GiB", 6.2, size(0.596e9, 2), true},
		{"snapshot of a model of 8B", "GiB", 26, size(8.03e9, 2), true},
		{"snapshot of gpt-oss-120b", "GiB", 129, size(116.8e9, 0.5), true},
	}
}

func (r *row) off() float64 { return r.predicted/r.published - 1 }

func table() string {
	var b strings.Builder
	b.WriteString("| what | published | predicted | error | use |\n|---|---|---|---|---|\n")
	for _, r := range rows() {
		use := "held out"
		if r.fitted {
			use = "fitted on"
		}
		fmt.Fprintf(&b, "| %s | %g %s | %.1f %s | %+.0f %% | %s |\n", r.what, r.published, r.unit, r.predicted, r.unit,
			100*r.off(), use)
	}
	b.WriteString("\nSources: those of the loader and of restores above. Links were no limit; where they are one, a " +
		"scenario's registry says so.\n")
	return b.String()
}

// errorText is the error of what was measured.
func errorText() string {
	sum, n := [2]float64{}, [2]float64{}
	for _, r := range rows() {
		i := 0
		if r.fitted {
			i = 1
		}
		sum[i] += math.Abs(r.off())
		n[i]++
	}
	return fmt.Sprintf("loading, restores and sizes of snapshots: mean absolute error %.0f %% of the %g held out, %.0f "+
		"%% of the %g fitted on", 100*sum[0]/n[0], n[0], 100*sum[1]/n[1], n[1])
}

// whole is the shortest, likeliest and longest start of an 8B model in 16 bits with the defaults, alone on its links:
// on a machine without the image, and on one that has yet to be bought.
func whole() (pod, machine [3]float64) {
	s, r := Default(8.03e9*2/GiB, plan.EngineVLLM, 1), Registry()
	boot, err := Boot(KindBaked)
	if err != nil {
		panic(err) // one of the list
	}
	at := func(x plan.Spread) [3]float64 { return [3]float64{x.Low.Seconds(), x.Mode.Seconds(), x.High.Seconds()} }
	fixed := float64(s.ImageGiB*GiB)/(r.NodeGBs*gigabyte) +
		float64(s.WeightsGiB*GiB)/(math.Min(s.LoadGBs, r.NodeGBs)*gigabyte)
	for i := range pod {
		pod[i] = fixed + at(s.Sandbox)[i] + float64(at(s.Unpack)[i]*s.ImageGiB) + at(s.Engine)[i]
		machine[i] = pod[i] + at(boot.Allocate)[i] + at(boot.Boot)[i] + at(boot.Devices)[i]
	}
	return pod, machine
}

// wholeText compares whole starts with what is said of them.
func wholeText() string {
	pod, machine := whole()
	return fmt.Sprintf("whole starts, of which nobody has published the parts: an 8B model takes %.0f to %.0f s (all "+
		"stages at their modes: %.0f s) on a node without its image, where others tell of 220 s (Photoroom, a container; "+
		"model and image not said) and \"several minutes\" (NVIDIA, one GPU); with a machine that is bought first %.1f to "+
		"%.1f min (%.1f), where others tell of 8 min (ScaleOps) and more than 10", pod[0], pod[2], pod[1], machine[0]/60,
		machine[2]/60, machine[1]/60)
}
