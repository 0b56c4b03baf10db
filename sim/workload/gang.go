package workload

import (
	"fmt"

	"orrery/sim/engine"
	"orrery/sim/journal"
	"orrery/sim/plan"
)

// Groups is where the groups of gangs live. Its methods are called on the driver goroutine.
type Groups interface {
	// CreateGroup makes the group object, before its pods. An error means the API refused it; its text is for people.
	CreateGroup(*Group) error
	// ShrinkGroup lowers the number of pods that must be placed at once to g.Min.
	ShrinkGroup(g *Group)
	// DeleteGroup removes the group object; none of its pods exists any more.
	DeleteGroup(*Group)
}

// Group is the group object of a gang. A gang that is submitted again as a whole gets a new one: pods of the old one
// that still stop would count as placed.
type Group struct {
	Name string // unique in the namespace: the job's name, with -g<n> from the second group on
	Min  int    // pods that must be placed at once
	Job  *plan.Job

	pods   int  // objects that exist
	closed bool // no more pods will be made
}

// together reports whether the job's work begins when all its pods run. Pods that train one model do nothing alone.
func (t *Tracker) together(j *job) bool {
	return t.p.Pods.StartTogether || j.Gang != nil || j.Training != nil
}

// openGroup makes the group of a gang's next pods.
func (t *Tracker) openGroup(j *job, min int) error {
	if j.Gang == nil {
		return nil
	}
	g := &Group{Name: j.Name, Min: min, Job: &j.Job}
	if j.groups > 0 {
		g.Name += fmt.Sprintf("-g%d", j.groups)
	}
	j.groups++
	if err := t.p.Groups.CreateGroup(g); err != nil {
		return err
	}
	j.group = g
	return nil
}

// closeGroup removes the group of a job when its last pod has gone.
func (t *Tracker) closeGroup(j *job) {
	if g := j.group; g != nil {
		j.group, g.closed = nil, true
		t.release(g)
	}
}

func (t *Tracker) release(g *Group) {
	if g.closed && g.pods == 0 {
		t.p.Groups.DeleteGroup(g)
	}
}

// leaveGroup says that the object of a pod has gone.
func (t *Tracker) leaveGroup(p *Pod) {
	if p.Group != nil {
		p.Group.pods--
		t.release(p.Group)
	}
}

// shrink keeps a gang that has lost a pod schedulable when others have done their work and left: a group that asks for
// more pods than there are waits for ever.
func (t *Tracker) shrink(j *job) {
	if g := j.group; g != nil && j.left < g.Min {
		g.Min = j.left
		t.p.Groups.ShrinkGroup(g)
	}
}

// restartGang takes the rest of a gang down after p was lost, and submits it again as a whole.
func (t *Tracker) restartGang(j *job, p *Pod) {
	t.closeGroup(j)
	for _, q := range j.pods {
		if q != nil && q != p {
			q.gone = true
			j.restarts[q.Index]++
			t.p.Cluster.DeletePod(q, "gang restart")
		}
	}
	t.p.Engine.After(j.backoff(), engine.PhaseArrive, "restart "+j.Name, func() {
		if j.ended {
			return
		}
		err := t.openGroup(j, j.left)
		for i, q := range j.pods {
			if q != nil && err == nil { // else it has done its work
				err = t.create(j, i)
			}
		}
		if err != nil {
			t.end(j, journal.Killed, "replacement refused: "+err.Error())
		}
	})
}
