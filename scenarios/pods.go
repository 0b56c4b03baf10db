package scenarios

import (
	"fmt"

	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/traces"
)

// podsMax bounds the pods of one job; every one becomes an object of the API.
const podsMax = 100_000

// pods splits a job into pods that ask for base, the extended resource of its GPUs.
func (j *jobs) pods(t *traces.Job, base string) ([]plan.Pod, error) {
	w := &j.s.Workload
	gpus := split(t.GPUs, t.Pods, w.MaxGPUsPerPod)
	if len(gpus) > podsMax {
		return nil, fmt.Errorf("job %s: %w; raise workload.maxGPUsPerPod or leave the job out", t.ID, errTooManyPods)
	}
	cpu := t.CPUMilli
	memory := t.MemoryMiB
	if cpu == 0 {
		cpu = assumed(t, len(gpus), w.CPUMilliPerGPU, w.CPUMilliPerPod)
	}
	if memory == 0 {
		memory = assumed(t, len(gpus), w.MemoryMiBPerGPU, w.MemoryMiBPerPod)
	}
	out := make([]plan.Pod, len(gpus))
	done := 0
	for i, n := range gpus {
		// The pod's part of CPU and memory follows its GPUs; cumulative rounding keeps the job's sum exact.
		from, to, of := done, done+n, t.GPUs
		if t.GPUs == 0 {
			from, to, of = i, i+1, len(gpus)
		}
		out[i] = plan.Pod{CPUMilli: part(cpu, from, to, of), MemoryMiB: part(memory, from, to, of)}
		j.slots(&out[i], t, n, base)
		if t.GPUMilli < int(units.GPU) {
			out[i].Demand = units.MilliGPU(t.GPUMilli)
		}
		done += n
	}
	return out, nil
}

// assumed is what a job asks for when the trace does not say: a part of a GPU asks for that part of a GPU's.
func assumed(t *traces.Job, pods int, perGPU, perPod int64) int64 {
	if t.GPUs == 0 {
		return int64(pods) * perPod
	}
	return (demand(t)*perGPU + 999) / 1000
}

// part is the share of sum that lies between from and to of of. Amounts are below 10¹² and counts below 10⁶ (limits of
// the trace format), so the products fit.
func part(sum int64, from, to, of int) int64 {
	return sum*int64(to)/int64(of) - sum*int64(from)/int64(of)
}

// split returns the GPUs of each pod: as even as possible over the number of pods the trace gives, else full pods of
// most GPUs and a rest.
func split(gpus, pods, most int) []int {
	switch {
	case pods > 0:
		out := make([]int, min(pods, podsMax+1))
		for i := range out {
			out[i] = gpus / pods
			if i < gpus%pods {
				out[i]++
			}
		}
		return out
	case gpus <= most:
		return []int{gpus}
	}
	out := make([]int, 0, min(gpus/most+1, podsMax+1))
	for ; gpus > 0 && len(out) <= podsMax; gpus -= most {
		out = append(out, min(gpus, most))
	}
	return out
}
