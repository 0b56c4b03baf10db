package scenarios

import (
	"io"
	"slices"
	"strings"

	"orrery/sim/plan"
	"orrery/sim/rng"
	"orrery/sim/units"
	"orrery/traces"
)

// arrange puts the jobs of mode sequential in order and brings their demand to fillTo × the cluster's GPUs.
//
// With shuffle it follows the published fragmentation experiment (Weng et al., USENIX ATC 2023): sort by name, shuffle,
// then append jobs drawn uniformly with replacement until the next one's share of one GPU would pass the target; when
// the trace already asks for more, remove random jobs until it does not.
func (j *jobs) arrange() error {
	sub := j.s.Workload.Submit
	source := rng.New(j.s.Seed)
	if sub.Shuffle {
		slices.SortFunc(j.list, func(a, b traces.Job) int { return strings.Compare(a.ID, b.ID) })
		source.Stream("submit/shuffle").Shuffle(len(j.list), func(a, b int) {
			j.list[a], j.list[b] = j.list[b], j.list[a]
		})
	}
	j.warn(WarnTimesUnset, "the times of the trace are not used: jobs are submitted one after another and never end", 1)
	if sub.FillTo == 0 || len(j.list) == 0 {
		return nil
	}
	limit := int64(float64(j.s.gpus()) * 1000 * sub.FillTo)
	var total, largest int64
	for i := range j.list {
		total += demand(&j.list[i])
		largest = max(largest, demand(&j.list[i]))
	}
	if total > limit {
		j.thin(source, total, limit)
		return nil
	}
	if largest > 0 { // else no number of jobs would fill the cluster
		j.fill(source, total, limit)
	}
	return nil
}

func (j *jobs) thin(source *rng.Source, total, limit int64) {
	r := source.Stream("submit/thin")
	before := len(j.list)
	for total > limit {
		at := r.IntN(len(j.list))
		total -= demand(&j.list[at])
		j.list = slices.Delete(j.list, at, at+1)
	}
	j.warn(WarnThinned, "jobs were left out at random so as not to pass workload.submit.fillTo",
		int64(before-len(j.list)))
}

func (j *jobs) fill(source *rng.Source, total, limit int64) {
	r := source.Stream("submit/fill")
	original := len(j.list)
	for {
		t := j.list[r.IntN(original)]
		if total+int64(t.GPUMilli) > limit {
			break
		}
		total += demand(&t)
		j.list = append(j.list, t)
	}
	j.warn(WarnResampled, "jobs were drawn again at random to reach workload.submit.fillTo",
		int64(len(j.list)-original))
}

// demand is what a job asks for, in thousandths of a GPU.
func demand(t *traces.Job) int64 { return int64(t.GPUs) * int64(t.GPUMilli) }

// gpus is the number of physical GPUs of the cluster.
func (s *Scenario) gpus() int {
	sum := 0
	for _, p := range s.Cluster.Pools {
		sum += p.Nodes * p.GPUsPerNode
	}
	return sum
}

func (j *jobs) nextSequential() (plan.Job, error) {
	if j.next == len(j.list) {
		return plan.Job{}, io.EOF
	}
	job, err := j.job(&j.list[j.next])
	job.Submit = units.Time(j.next) * units.Time(j.s.Workload.Submit.Interval)
	job.Forever = true
	j.next++
	return job, err
}
