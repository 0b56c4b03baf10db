package workload

import (
	"orrery/sim/journal"
	"orrery/sim/plan"
)

// Controllers is where jobs live that are objects of the API, whose pods a controller makes. Its methods are called on
// the driver goroutine.
type Controllers interface {
	// CreateJob makes the job object. An error means the API refused it; its text is for people.
	CreateJob(*plan.Job) error
	// DeleteJob removes the job object and with it the pods, which are live; reason appears in the journal.
	DeleteJob(j *plan.Job, pods []*Pod, reason string)
}

// objectKey is the key under which a managed job's object is found.
func objectKey(namespace, name string) string { return namespace + "/" + name }

// submitManaged makes the object of a job whose pods a controller makes.
func (t *Tracker) submitManaged(j *job) {
	for i := range j.pods { // nobody is there yet
		j.pods[i] = &Pod{Index: i, Job: &j.Job, job: j, gone: true}
	}
	t.managed[objectKey(j.Namespace, j.Batch.Name)] = j
	if err := t.p.Controllers.CreateJob(&j.Job); err != nil {
		t.end(j, journal.Rejected, err.Error())
	}
}

// Adopt takes in a pod that a controller has made for the job object. A negative index is that of the first pod that is
// missing. It returns nil when the tracker has no such job or no place for the pod.
func (t *Tracker) Adopt(namespace, object string, index int, name string) *Pod {
	j := t.managed[objectKey(namespace, object)]
	if j == nil || j.ended {
		return nil
	}
	for i := 0; index < 0 && i < len(j.pods); i++ {
		if j.pods[i] != nil && j.pods[i].gone {
			index = i
		}
	}
	if index < 0 || index >= len(j.pods) || j.pods[index] == nil {
		return nil
	}
	p := &Pod{Name: name, Index: index, Spec: j.Job.Pods[index], Job: &j.Job, job: j}
	if j.pods[index].Name != "" {
		j.restarts[index]++
	}
	j.pods[index] = p
	t.pods[p.Key()] = p
	return p
}

// Managed reports whether a controller makes the pods of the pod's job.
func (p *Pod) Managed() bool { return p.Job.Batch != nil }

// JobFinished says that the controller has declared the job object complete or failed.
func (t *Tracker) JobFinished(namespace, object string, complete bool, reason string) {
	j := t.managed[objectKey(namespace, object)]
	switch {
	case j == nil:
	case complete:
		t.end(j, journal.Succeeded, "")
	case j.failed:
		t.end(j, journal.Failed, "")
	default:
		t.end(j, journal.Killed, reason)
	}
}

// endManaged deletes the object of a job that has ended, and its pods with it.
func (t *Tracker) endManaged(j *job, why string) {
	var live []*Pod
	for i, p := range j.pods {
		if p != nil && !p.gone {
			p.gone = true
			t.leave(p)
			live = append(live, p)
		}
		j.pods[i] = nil
	}
	delete(t.managed, objectKey(j.Namespace, j.Batch.Name))
	t.p.Controllers.DeleteJob(&j.Job, live, why)
}
