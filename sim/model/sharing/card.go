package sharing

import (
	"fmt"

	"orrery/sim/model/card"
)

// measured is what each of so many processes got of its speed alone that shared one H200 SXM by time slices: PyTorch
// 2.11.0 with CUDA 13.0, decoding 32 sequences with CUDA graphs, 2026-11-26 (../serving/testdata/measure.py).
var measured = []struct {
	clients int
	speed   float64
}{{2, 126.17 / 278.61}, {3, 84.06 / 278.61}}

// compared words the measurements against the model.
func compared() string {
	out := "time-slicing, measured on one H200:"
	for i, m := range measured {
		f, err := Factor(Use{Kind: TimeSlicing, Neighbours: m.clients - 1})
		if err != nil {
			panic(err) // the use has all that it needs
		}
		if i > 0 {
			out += ";"
		}
		out += fmt.Sprintf(" each of %d gets %.1f %%, and the model says %.1f %%", m.clients, 100*m.speed,
			100*float64(f)/One)
	}
	return out
}

// Card describes the model.
func Card() card.Card {
	return card.Card{
		Name:     "sharing",
		Title:    "Work on a part of a GPU",
		Question: "How fast does work go on a part of a GPU, against the same work alone on the whole GPU?",
		Formula: []string{
			"k clients are at work on a GPU or MIG instance, this one included; c is its share of the GPU's compute, and " +
				"the others' shares sum to o",
			"whole GPU: 1",
			"time-slicing: 1/k · (1 − s) for k ≥ 2, and 1 for k = 1",
			"MPS: c · (1 − i·o)",
			"MIG instance: the smaller of SMs ÷ SMs of the profile that spans the GPU, and memory slices ÷ all memory " +
				"slices; where SMs are not known, compute slices ÷ all compute slices",
			"replica of a MIG instance: that of the instance times time-slicing on it",
			"share that software enforces: c",
			"work on several parts at once: the slowest of them",
		},
		Sources: []string{
			"time-slicing gives each process the whole GPU in turn, whatever number of replicas its pod asked for; MPS " +
				"caps every client at an equal share of the threads: NVIDIA/k8s-device-plugin, README, commit 1b826ac",
			"s = 0.1 ÷ 2.1, an assumption of confidence low: a default slice of about 2 ms (NVIDIA publishes none) and a " +
				"switch of at most 0.1 ms (compute preemption, NVIDIA GeForce GTX 1080 white paper, 2016)",
			"i = 0.1, an assumption of confidence low: clients of MPS have memory bandwidth and caches in common",
			"SMs and memory slices of MIG instances: package mig, each geometry with its source. Instances have SMs, " +
				"bandwidth and cache of their own: NVIDIA MIG user guide",
		},
		Error: []string{
			compared(),
			"otherwise not known: nothing was fitted, and no measurement of the other ways of sharing is at hand. For MPS " +
				"take results as an order of magnitude",
		},
		Omits: []string{
			"what the work needs: a job that leaves half of a GPU idle loses nothing on half a GPU, and the model says it does",
			"device memory: time-slicing does not limit it, and work that does not fit is not told apart",
			"the SMs that MIG mode itself costs (an A100 has 108, its 7g.40gb 98)",
			"PCIe and board power, which MIG instances share",
			"latency: work that waits for its turn is slower in the tail than on average",
		},
	}
}
