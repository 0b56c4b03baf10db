// Package fgd is fragmentation gradient descent as a scheduler plugin (Weng et al., Beware of Fragmentation: Scheduling
// GPU-Sharing Workloads with Fragmentation Gradient Descent, USENIX ATC 2023): a pod goes where it adds least to the
// GPU capacity that the pods typical of the cluster could not use.
//
// Where the published code computes in binary fractions, this computes in whole numbers: the frequencies of typical
// pods are counts, and a score is found by comparing with constants. So nodes that are equally good score the same.
package fgd

import (
	"cmp"
	"slices"

	"orrery/sim/policy/plugins/gpus"
	"orrery/sim/units"
)

// Shape is a kind of pod typical of a cluster.
type Shape struct {
	// CPUMilli is the CPU request, in thousandths of a core.
	CPUMilli int64 `json:"cpuMilli"`
	// GPUs is how many; 0 is a pod without.
	GPUs int `json:"gpus"`
	// GPUMilli is the part of each GPU, in thousandths.
	GPUMilli int64 `json:"gpuMilli"`
	// Models are GPU models, any of which will do, as the node label alibabacloud.com/gpu-card-model has them.
	Models []string `json:"models,omitempty"`
	// Count is how many such pods there are: its share of the sum is the shape's frequency.
	Count int64 `json:"count"`
}

// fragmentation of a cluster's nodes as seen by its typical pods.
type fragmentation struct {
	shapes []Shape
	total  int64 // of their counts
}

func newFragmentation(shapes []Shape) *fragmentation {
	f := &fragmentation{shapes: slices.Clone(shapes)}
	for _, s := range shapes {
		f.total += s.Count
	}
	return f
}

// of returns the fragments of a node with this much left, in thousandths of a GPU times the sum of the counts: what is
// idle on GPUs too small for a typical pod, or all that is idle when the node cannot host it or it wants no GPU.
func (f *fragmentation) of(model string, cpu int64, left []units.MilliGPU) int64 {
	var idle units.MilliGPU
	for _, milli := range left {
		idle += milli
	}
	if idle == 0 {
		return 0
	}
	var sum int64
	for i := range f.shapes {
		s := &f.shapes[i]
		fragment := idle
		if s.GPUs > 0 && cpu >= s.CPUMilli && (len(s.Models) == 0 || slices.Contains(s.Models, model)) {
			fit, small := 0, units.MilliGPU(0)
			for _, milli := range left {
				if milli >= units.MilliGPU(s.GPUMilli) {
					fit++
				} else {
					small += milli
				}
			}
			if fit >= s.GPUs {
				fragment = small
			}
		}
		sum += int64(fragment) * s.Count
	}
	return sum
}

// score is floor(100 / (1 + exp(−(before − after)/1000))), where before and after are fragments as of returns them.
func (f *fragmentation) score(before, after int64) int64 {
	d := after - before
	better := d <= 0
	if better {
		d = -d
	}
	x := float64(d) / (1000 * float64(f.total))
	steps, exact := slices.BinarySearch(logit[:], x)
	if !better {
		return 49 - int64(steps)
	}
	if exact {
		steps++
	}
	return 50 + int64(steps)
}

// logit are ln(k/(100−k)) for k from 51 to 99: where the score steps.
var logit = [49]float64{
	0.040005334613699164, 0.080042707673536426, 0.12014431184206324, 0.16034265007517939, 0.20067069546215116,
	0.24116205681688807, 0.28185115214098772, 0.32277339226305102, 0.36396537720141164, 0.40546510810816438,
	0.44731221804366483, 0.48954822531870579, 0.53221681374730823, 0.5753641449035618, 0.6190392084062234,
	0.66329421741026418, 0.70818505792448583, 0.7537718023763802, 0.80011930011211319, 0.84729786038720356,
	0.89538404705484143, 0.9444616088408514, 0.99462257514406205, 1.0459685551826876, 1.0986122886681098,
	1.1526795099383855, 1.2083112059245342, 1.2656663733312759, 1.3249254147435985, 1.3862943611198906,
	1.4500101755059982, 1.5163474893680884, 1.5856272637403819, 1.6582280766035324, 1.7346010553881064,
	1.8152899666382492, 1.900958761193047, 1.9924301646902061, 2.0907410969337694, 2.1972245773362196,
	2.3136349291806306, 2.4423470353692043, 2.5866893440979428, 2.7515353130419489, 2.9444389791664403,
	3.1780538303479458, 3.4760986898352733, 3.8918202981106265, 4.5951198501345898,
}

// place returns the best score that a node gives a pod and, for a part of a GPU, the first GPU that gives it.
func (f *fragmentation) place(n *gpus.Node, ask *gpus.Ask, before int64) (score int64, gpu int) {
	cpu := n.CPULeft - ask.CPUMilli
	after := slices.Clone(n.Left)
	if ask.GPUs != 1 || ask.Milli == units.GPU {
		for _, g := range n.Pick(ask.Request, gpus.BestFit) {
			after[g] -= ask.Milli
		}
		return f.score(before, f.of(n.Model, cpu, after)), -1
	}
	score, gpu = -1, -1
	for g, left := range n.Left {
		if left < ask.Milli || slices.Contains(n.Left[:g], left) {
			continue // too small, or the same as an earlier one
		}
		after[g] -= ask.Milli
		if s := f.score(before, f.of(n.Model, cpu, after)); s > score {
			score, gpu = s, g
		}
		after[g] += ask.Milli
	}
	return max(score, 0), gpu
}

// ordered sorts shapes so that the same set always computes the same way, and drops what counts for nothing.
func ordered(shapes []Shape) []Shape {
	out := slices.DeleteFunc(slices.Clone(shapes), func(s Shape) bool { return s.Count == 0 })
	slices.SortStableFunc(out, func(a, b Shape) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.CPUMilli, b.CPUMilli), cmp.Compare(a.GPUs, b.GPUs),
			cmp.Compare(a.GPUMilli, b.GPUMilli))
	})
	return out
}
