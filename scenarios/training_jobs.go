package scenarios

import (
	"fmt"

	"orrery/sim/model/training"
	"orrery/sim/plan"
	"orrery/sim/units"
	"orrery/traces"
)

// speeds gives jobs what they compute. Jobs of one kind and size share one *plan.Training, by which the simulator knows
// that they are alike.
type speeds struct {
	s     *Scenario
	works []TrainingWork // the rules, then the default
	known map[speedKey]*plan.Training
	refs  map[string]*plan.Accelerator
}

type speedKey struct {
	work, gpus int
	reference  string
}

func newSpeeds(s *Scenario) *speeds {
	if s.Workload.Training == nil {
		return nil
	}
	sp := &speeds{s: s, known: map[speedKey]*plan.Training{}, refs: map[string]*plan.Accelerator{}}
	sp.works = append(append(sp.works, s.Workload.Training.Rules...), s.Workload.Training.Default)
	return sp
}

// training says what a job computes; nil for jobs without whole GPUs, whose speed the model does not know.
func (j *jobs) training(t *traces.Job, pods []plan.Pod) *plan.Training {
	sp := j.speeds
	if sp == nil {
		return nil
	}
	gpus := 0
	for _, p := range pods {
		if p.GPUs%units.GPU != 0 {
			return nil
		}
		gpus += int(p.GPUs / units.GPU)
	}
	if gpus == 0 {
		return nil
	}
	key := speedKey{len(sp.works) - 1, gpus, sp.reference(t)}
	for i := range sp.works[:len(sp.works)-1] {
		w := &sp.works[i]
		if (w.Tenant == "" || w.Tenant == t.Tenant) && (w.Class == "" || w.Class == t.Class) && gpus >= w.MinGPUs &&
			(w.MaxGPUs == 0 || gpus <= w.MaxGPUs) {
			key.work = i
			break
		}
	}
	out, ok := sp.known[key]
	if !ok {
		out = j.newTraining(key)
		sp.known[key] = out
	}
	return out
}

// newTraining makes the work of a kind and size of job. A model whose groups the size does not allow gives way to the
// default, and that, if it is a model too, to medium communication.
func (j *jobs) newTraining(key speedKey) *plan.Training {
	sp := j.speeds
	medium := TrainingWork{Intensity: IntensityMedium}
	for _, w := range []*TrainingWork{&sp.works[key.work], &sp.works[len(sp.works)-1], &medium} {
		t := sp.s.work(w)
		err := training.Check(t, key.gpus)
		if err == nil && t.Model != nil && w.Memory != memoryIgnore {
			err = sp.s.fits(t, key.gpus)
		}
		if err != nil {
			j.warn(WarnParallelism, fmt.Sprintf("jobs of %d GPUs cannot train %s: %v; they take the default's speed",
				key.gpus, t.Name, err), 1)
			continue
		}
		t.Reference = sp.accelerator(key.reference)
		t.Save = sp.s.save(t, key.gpus)
		return t
	}
	return nil // medium communication suits any job
}

// reference is the catalogue key of the GPU that the job's duration was taken on; "" = the one it lands on.
func (sp *speeds) reference(t *traces.Job) string {
	if name := sp.s.Workload.Training.Reference; name != "" {
		return name
	}
	if len(t.GPUModels) > 0 {
		return t.GPUModels[0]
	}
	return ""
}

// accelerator returns a reference as the first pool has it that has such GPUs; nil when the model does not know it.
func (sp *speeds) accelerator(name string) *plan.Accelerator {
	if name == "" {
		return nil
	}
	if a, ok := sp.refs[name]; ok {
		return a
	}
	var a *plan.Accelerator
	if gpu, err := sp.s.catalog.Lookup(name); err == nil {
		var pool *Pool
		for i := range sp.s.Cluster.Pools {
			if p := &sp.s.Cluster.Pools[i]; p.GPU == gpu.Key {
				pool = p
				break
			}
		}
		if found, err := sp.s.accelerator(name, pool); err == nil {
			a = found
		}
	}
	sp.refs[name] = a
	return a
}
