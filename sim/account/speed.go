package account

import (
	"fmt"
	"math"
	"slices"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// ideal is the speed of work at its ideal, in the journal's millionths.
const ideal = 1_000_000

// pace is how fast the pods of a live job work that work together, or one that works alone.
type pace struct {
	journal.JobSpeed
	gpus  units.MilliGPU
	since units.Time // in force from; never = no work at present
}

// work is the book of a live job's work: the time its teams of pods worked, and the same by their speed.
type work struct {
	time, done units.Integral // done is in millionths
}

// speedBook is the account of what work lost against its ideal, in milli-GPU × millionths × time.
type speedBook struct {
	jobs                                    int64
	slowdowns                               []float64
	workT, slowT, fastT, placementT, shareT units.Integral
}

// jobSpeed takes a new speed of a job, or of one pod of it.
func (f *Fold) jobSpeed(j *job, b journal.JobSpeed) error {
	if b.Speed < 1 || b.Hardware < 1 || b.Placement < 1 || b.Placement > ideal || b.Sharing < 1 || b.Sharing > ideal {
		return fmt.Errorf("job %s works at the impossible speed %d: hardware %d, placement %d, sharing %d millionths",
			j.Job, b.Speed, b.Hardware, b.Placement, b.Sharing)
	}
	if j.podsBound == 0 {
		return fmt.Errorf("job %s works before a pod of it is bound", j.Job)
	}
	at, gpus := &j.pace, j.GPUs
	if b.Pod != "" {
		p := f.pods[b.Pod]
		if p == nil || p.job != j || p.phase != "" {
			return fmt.Errorf("pod %s works for job %s, but is none of its, or over", b.Pod, j.Job)
		}
		at, gpus = &p.pace, p.gpus
	}
	f.rest(j, *at)
	*at = &pace{JobSpeed: b, gpus: gpus, since: f.now}
	return nil
}

// rest books the work up to now; there is none from now on.
func (f *Fold) rest(j *job, p *pace) {
	if p == nil || p.since == never {
		return
	}
	span := f.now.Sub(p.since)
	p.since = never
	j.work.time.Add(1, span)
	j.work.done.Add(p.Speed, span)
	gpus, b := int64(p.gpus), &f.speed
	b.workT.Add(gpus*ideal, span)
	if left := p.Hardware; left <= ideal {
		b.slowT.Add(gpus*(ideal-left), span)
	} else {
		b.fastT.Add(gpus*(left-ideal), span)
	}
	b.placementT.Add(gpus*lost(p.Hardware, p.Placement), span)
	b.shareT.Add(gpus*lost(lossless(p.Hardware, p.Placement), p.Sharing), span)
}

// lossless returns the product of two factors in millionths.
func lossless(a, b int64) int64 { return a * b / ideal }

// lost returns what a factor takes of what is left, in millionths.
func lost(left, factor int64) int64 { return left - lossless(left, factor) }

// leaveSpeed books a job that is over, or whose run is.
func (f *Fold) leaveSpeed(j *job) {
	f.rest(j, j.pace)
	if s := j.meanSpeed(); s != nil {
		f.speed.jobs++
		f.speed.slowdowns = append(f.speed.slowdowns, 1 / *s)
	}
}

// meanSpeed returns the job's mean speed while it worked, 1 = ideal; nil where it is not known.
func (j *job) meanSpeed() *float64 {
	if j.work.done == (units.Integral{}) {
		return nil
	}
	s := j.work.done.Hours() / ideal / j.work.time.Hours()
	return &s
}

func (f *Fold) speedResult() *result.Speed {
	b := &f.speed
	if b.jobs == 0 {
		return nil
	}
	hours := func(i units.Integral) float64 { return i.GPUHours() / ideal }
	out := &result.Speed{Jobs: b.jobs, Slowdown: distribution(slices.Clone(b.slowdowns)), WorkingHours: hours(b.workT),
		HardwareHours: hours(b.slowT), GainedHours: hours(b.fastT), PlacementHours: hours(b.placementT),
		SharingHours: hours(b.shareT)}
	out.EffectiveHours = max(0, out.WorkingHours+out.GainedHours-out.HardwareHours-out.PlacementHours-out.SharingHours)
	if out.WorkingHours > 0 {
		out.EffectiveFraction = out.EffectiveHours / out.WorkingHours
	}
	return out
}

// speedHistogram counts jobs by slowdown in bins that widen: steps of 1 % up to 10 % slower, of 10 % up to twice as
// slow, then doubling. Jobs at or above their ideal are in the first bin.
func speedHistogram(sample []float64) result.Histogram {
	if len(sample) == 0 {
		return result.Histogram{}
	}
	most := slices.Max(sample)
	h := result.Histogram{Edges: []float64{0, 1}}
	for percent := int64(101); h.Edges[len(h.Edges)-1] < most; {
		h.Edges = append(h.Edges, float64(percent)/100)
		switch {
		case percent < 110:
			percent++
		case percent < 200:
			percent += 10
		case percent < math.MaxInt64/4:
			percent *= 2
		}
	}
	h.Counts = make([]int64, len(h.Edges)-1)
	for _, v := range sample {
		at, _ := slices.BinarySearch(h.Edges, v)
		h.Counts[max(0, at-1)]++
	}
	return h
}
