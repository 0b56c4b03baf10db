package account

import (
	"cmp"
	"fmt"

	"orrery/sim/journal"
	"orrery/sim/result"
	"orrery/sim/units"
)

// never marks an instant that has not come.
const never = units.Time(-1)

// job is a live job: not ended, or with pods left.
type job struct {
	journal.JobSubmit
	tenant                     *tenant
	size                       *size
	submit, placed, start, end units.Time
	ended                      bool
	state, reason              string // outcome and reason of the end record
	refusal                    string // the last one before it was placed
	podsLive, podsBound        int
	restarts                   int32
	preempted                  bool
	lostT, ownedT              units.Integral
	admitting                  int32     // number of the set of pools that admit its pods
	together                   *together // nil of a job of one pod
	pace                       *pace     // of its pods together; nil where it is not known
	work                       work
}

// tenant is a tenant's account.
type tenant struct {
	index                               int32
	name                                string
	jobs, completed, pending, preempted int64
	lostT                               units.Integral
	byPool                              []units.Integral // device time owned, by pool index
}

// pool returns the tenant's account in a pool.
func (t *tenant) pool(i int) *units.Integral {
	for len(t.byPool) <= i {
		t.byPool = append(t.byPool, units.Integral{})
	}
	return &t.byPool[i]
}

// size is the account of all jobs of one size.
type size struct {
	index  int
	gpus   units.MilliGPU
	jobs   int64
	ownedT units.Integral
}

func (f *Fold) tenant(name string) *tenant {
	return f.tenants.get(name, func(i int) *tenant { return &tenant{index: int32(i), name: name} })
}

// jobRecord takes the records about jobs; known is false for any other.
func (f *Fold) jobRecord(b journal.Body) (known bool, err error) {
	if b, ok := b.(journal.JobSubmit); ok {
		return true, f.submit(b)
	}
	var name string
	switch b := b.(type) {
	case journal.JobPlaced:
		name = b.Job
	case journal.JobStart:
		name = b.Job
	case journal.JobSpeed:
		name = b.Job
	case journal.JobRestart:
		name = b.Job
	case journal.JobEnd:
		name = b.Job
	default:
		return false, nil
	}
	j := f.jobs[name]
	if j == nil {
		return true, fmt.Errorf("job %s was not submitted, or is over", name)
	}
	if _, speed := b.(journal.JobSpeed); speed && j.ended {
		return true, nil // its pods are being stopped, and what they share changes hands
	}
	if j.ended {
		return true, fmt.Errorf("job %s has already ended at %v", name, j.end)
	}
	switch b := b.(type) {
	case journal.JobPlaced:
		return true, f.jobPlaced(j)
	case journal.JobStart:
		return true, f.jobStart(j)
	case journal.JobSpeed:
		return true, f.jobSpeed(j, b)
	case journal.JobRestart:
		return true, f.jobRestart(j, b)
	case journal.JobEnd:
		return true, f.jobEnd(j, b)
	}
	return true, nil
}

func (f *Fold) submit(b journal.JobSubmit) error {
	if f.jobs[b.Job] != nil {
		return fmt.Errorf("job %s is submitted twice", b.Job)
	}
	if b.Pods < 0 || b.GPUs < 0 || b.Run < 0 || b.CPUMilli < 0 || b.MemoryMiB < 0 ||
		b.Gang < 0 || b.Gang > b.Pods {
		return fmt.Errorf("job %s asks a negative amount", b.Job)
	}
	j := &job{JobSubmit: b, submit: f.now, placed: never, start: never, end: never, tenant: f.tenant(b.Tenant)}
	j.size = f.sizes.get(b.GPUs, func(i int) *size { return &size{index: i, gpus: b.GPUs} })
	j.admitting = f.shapes.set(b.Pools)
	if b.Pods > 1 {
		j.together = &together{firstBound: never, heldSince: f.now, finest: -1}
	}
	if b.Gang > 0 {
		f.both.gangs++
	}
	j.tenant.jobs++
	j.size.jobs++
	f.jobs[b.Job] = j
	f.jobCount.Submitted++
	return nil
}

func (f *Fold) jobPlaced(j *job) error {
	if j.placed != never {
		return fmt.Errorf("job %s is placed twice", j.Job)
	}
	if j.podsBound < j.Pods {
		return fmt.Errorf("job %s is placed with %d of its %d pods bound", j.Job, j.podsBound, j.Pods)
	}
	f.placeTogether(j)
	j.placed = f.now
	f.stats.wait(j, f.now.Sub(j.submit).Seconds())
	return nil
}

func (f *Fold) jobStart(j *job) error {
	if j.start != never || j.placed == never {
		return fmt.Errorf("job %s starts twice, or before it is placed", j.Job)
	}
	j.start = f.now
	f.stats.startup = append(f.stats.startup, f.now.Sub(j.placed).Seconds())
	return nil
}

func (f *Fold) jobRestart(j *job, b journal.JobRestart) error {
	if b.Lost < 0 || b.GPUs < 0 {
		return fmt.Errorf("job %s loses a negative amount", j.Job)
	}
	f.rest(j, j.pace)
	j.restarts++
	f.jobCount.Restarts++
	j.lostT.Add(int64(b.GPUs), b.Lost)
	j.tenant.lostT.Add(int64(b.GPUs), b.Lost)
	f.led.lostT.Add(int64(b.GPUs), b.Lost)
	return nil
}

// markPreempted counts a job that lost a pod to preemption, once.
func (f *Fold) markPreempted(j *job) {
	if j != nil && !j.preempted {
		j.preempted = true
		j.tenant.preempted++
		f.jobCount.Preempted++
	}
}

func (f *Fold) jobEnd(j *job, b journal.JobEnd) error {
	switch b.Outcome {
	case journal.Succeeded:
		if j.start == never {
			return fmt.Errorf("job %s succeeds before it starts", j.Job)
		}
		f.jobCount.Completed++
		j.tenant.completed++
		f.stats.completed(f.now.Sub(j.submit), j.Run)
	case journal.Failed:
		f.jobCount.Failed++
	case journal.Killed:
		f.jobCount.Killed++
	case journal.Rejected:
		if j.placed != never || j.podsBound > 0 {
			return fmt.Errorf("job %s is rejected after pods of it were bound", j.Job)
		}
		f.jobCount.Rejected++
	default:
		return fmt.Errorf("job %s ends with the unknown outcome %q", j.Job, b.Outcome)
	}
	f.rest(j, j.pace)
	j.ended, j.end, j.state, j.reason = true, f.now, b.Outcome, b.Reason
	if j.podsLive == 0 {
		return f.retireJob(j)
	}
	return nil
}

// retireJob reports a job that can no longer change and forgets it.
func (f *Fold) retireJob(j *job) error {
	delete(f.jobs, j.Job)
	f.leaveTogether(j)
	f.leaveSpeed(j)
	row := f.jobRow(j)
	if row.State != journal.Rejected {
		f.stats.longestWait(row)
	}
	if f.opt.OnJob != nil {
		return f.opt.OnJob(row)
	}
	return nil
}

// jobRow returns the job's row as of now.
func (f *Fold) jobRow(j *job) result.JobRow {
	row := result.JobRow{
		Job: j.Job, Tenant: j.Tenant, Class: j.Class, State: j.state, Pods: int32(j.Pods), GPUs: j.GPUs.GPUs(),
		CPUMilli: j.CPUMilli, MemoryMiB: j.MemoryMiB, Priority: j.Priority, SubmitSeconds: j.submit.Seconds(),
		PlacedSeconds: instant(j.placed), StartSeconds: instant(j.start), EndSeconds: instant(j.end),
		RunSeconds: j.Run.Seconds(), Restarts: j.restarts, LostGPUSeconds: j.lostT.GPUHours() * 3600,
		GPUSeconds: j.ownedT.GPUHours() * 3600, Reason: cmp.Or(j.reason, j.refusal),
		Gang: int32(j.Gang), Speed: j.meanSpeed(),
	}
	row.Layer, row.Spans = f.place(j)
	until := f.now
	switch {
	case j.placed != never:
		until = j.placed
	case j.ended:
		until = j.end
	}
	row.WaitSeconds = until.Sub(j.submit).Seconds()
	if !j.ended {
		row.State = statePending
		if j.placed != never {
			row.State = stateRunning
		}
	}
	return row
}

// States of jobs that have not ended.
const (
	statePending = "pending"
	stateRunning = "running"
)

// instant returns the seconds of an instant for a row, nil when it has not come.
func instant(t units.Time) *float64 {
	if t == never {
		return nil
	}
	s := t.Seconds()
	return &s
}
