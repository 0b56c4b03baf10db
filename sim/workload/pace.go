package workload

import (
	"math/bits"
	"slices"
	"time"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/units"
)

// FullSpeed is the speed of work that goes as the trace says, in millionths.
const FullSpeed = 1_000_000

// Team is the pods that work as one: all pods of a job whose work starts together, else each pod alone. It lives from
// when its work begins until the last of its pods has done its work, or one of them stops before that.
type Team struct {
	Pods []*Pod // that have work to do, by index
	// Restart is true when some pod of the team is not the first of its index: the work goes on from a saved state, or
	// begins anew.
	Restart bool
	// Saved is the work that need not be done again, of the pod that has least.
	Saved units.Duration

	job   *job
	speed int64
}

// Physics says how fast a team works. Its methods are called on the driver goroutine; they may call SetSpeed for other
// teams.
type Physics interface {
	// Begin tells that a team starts to work; it returns how long the team prepares before (reading its saved state)
	// and its speed in millionths of that of the trace, at least 1.
	Begin(*Team) (prepare units.Duration, speed int64)
	// Shrink tells that a pod has done its work and is of the team no more; the others go on, at least one.
	Shrink(*Team, *Pod)
	// End tells that a team does not work any more.
	End(*Team)
}

// begin lets pods work as a team.
func (t *Tracker) begin(j *job, pods ...*Pod) {
	team := &Team{Pods: pods, job: j, speed: FullSpeed, Saved: j.saved[pods[0].Index]}
	for _, p := range pods {
		team.Restart = team.Restart || j.restarts[p.Index] > 0
		team.Saved = min(team.Saved, j.saved[p.Index])
	}
	var prepare units.Duration
	if t.p.Physics != nil {
		prepare, team.speed = t.p.Physics.Begin(team)
	}
	for _, p := range pods {
		p.team, p.working, p.done, p.since = team, true, 0, t.p.Engine.Now().Add(prepare)
		t.work(p)
	}
	t.kill(j)
}

// SetSpeed changes the speed of a team that works, in millionths, at least 1.
func (t *Tracker) SetSpeed(team *Team, speed int64) {
	if speed == team.speed {
		return
	}
	for _, p := range team.Pods {
		t.settle(p)
	}
	team.speed = speed
	for _, p := range team.Pods {
		if p.team == team && p.working && !p.gone {
			t.work(p)
		}
	}
	t.kill(team.job)
}

// Speed returns the team's speed in millionths.
func (team *Team) Speed() int64 { return team.speed }

// finish takes a pod off its team when it has done its work. The others go on: should one of them be lost later, what
// they have done counts.
func (t *Tracker) finish(p *Pod) {
	team := p.team
	if team == nil || len(team.Pods) == 1 {
		t.leave(p)
		return
	}
	t.settle(p)
	p.team = nil
	team.Pods = slices.DeleteFunc(slices.Clone(team.Pods), func(q *Pod) bool { return q == p })
	if t.p.Physics != nil {
		t.p.Physics.Shrink(team, p)
	}
}

// leave ends the team of a pod that stops.
func (t *Tracker) leave(p *Pod) {
	team := p.team
	if team == nil {
		return
	}
	for _, q := range team.Pods {
		t.settle(q)
		q.team = nil
	}
	if t.p.Physics != nil {
		t.p.Physics.End(team)
	}
}

// settle books the pod's work up to now.
func (t *Tracker) settle(p *Pod) {
	if p.team == nil || !p.working {
		return
	}
	now := t.p.Engine.Now()
	if now > p.since { // else it prepares
		p.done += scale(now.Sub(p.since), p.team.speed, FullSpeed)
		p.since = now
	}
}

// left returns the work that the pod has still to do, settled.
func (p *Pod) left() units.Duration {
	return max(p.job.Run-p.job.saved[p.Index]-p.done, 0)
}

// due returns when a settled pod will have done its work.
func (t *Tracker) due(p *Pod) units.Time {
	if p.team == nil {
		return p.since
	}
	return p.since.Add(scaleUp(p.left(), FullSpeed, p.team.speed)).RoundUp()
}

// work tells the cluster how long the pod's containers work from now on.
func (t *Tracker) work(p *Pod) {
	j := p.job
	if j.Forever || j.Outcome == journal.Killed {
		return // it ends when the kill does
	}
	t.p.Cluster.SetWork(p, Work{Ends: true, Left: t.due(p).Sub(t.p.Engine.Now()), Outcome: j.Outcome})
}

// kill sets the timer of a job that is killed in the end. A kill comes from outside the containers: the user deletes
// the job when the first pod's time has come.
func (t *Tracker) kill(j *job) {
	if j.Forever || j.Outcome != journal.Killed || j.ended {
		return
	}
	at := units.Time(-1)
	for _, p := range j.pods {
		if p == nil || p.gone || p.team == nil {
			continue
		}
		t.settle(p)
		if due := max(t.due(p), t.p.Engine.Now()); at < 0 || due < at {
			at = due
		}
	}
	if j.kill.Pending() && j.kill.At() == at {
		return
	}
	t.p.Engine.Cancel(j.kill)
	if at >= 0 {
		j.kill = t.p.Engine.At(at, engine.PhaseRelease, "kill "+j.Name, func() { t.end(j, journal.Killed, "") })
	}
}

// rewind stops the pod's work, keeps what a checkpoint saved and returns what is lost.
func (t *Tracker) rewind(p *Pod) units.Duration {
	if !p.working {
		return 0
	}
	p.working = false
	j := p.job
	progress := j.saved[p.Index] + p.done
	p.done = 0
	if c := t.checkpoints(j); c > 0 {
		j.saved[p.Index] = max(j.saved[p.Index], progress/c*c)
	}
	return progress - j.saved[p.Index]
}

// checkpoints returns the work between two saved states of a job, 0 = none: its own, else that of all pods.
func (t *Tracker) checkpoints(j *job) units.Duration {
	if j.Training != nil && j.Training.Save != nil {
		return j.Training.Save.Every
	}
	return t.p.Pods.CheckpointInterval
}

// longest is the longest span of time or work, as long as a trace's: what takes longer never ends, and sums of a few
// stay countable.
const longest = 100 * 365 * 24 * time.Hour

// scale returns d × num ÷ den, rounded down, at most longest; d ≥ 0.
func scale(d units.Duration, num, den int64) units.Duration {
	hi, lo := bits.Mul64(uint64(d), uint64(num))
	return divide(hi, lo, uint64(den))
}

// scaleUp returns d × num ÷ den, rounded up, at most longest; d ≥ 0.
func scaleUp(d units.Duration, num, den int64) units.Duration {
	hi, lo := bits.Mul64(uint64(d), uint64(num))
	lo, carry := bits.Add64(lo, uint64(den-1), 0)
	return divide(hi+carry, lo, uint64(den))
}

func divide(hi, lo, den uint64) units.Duration {
	if hi >= den {
		return longest // the quotient has more than 64 bits
	}
	q, _ := bits.Div64(hi, lo, den)
	return units.Duration(min(q, uint64(longest)))
}
