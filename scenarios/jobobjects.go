package scenarios

import (
	"reflect"

	"orrery/sim/plan"
)

// WarnUnequal counts jobs that cannot be Job objects.
const WarnUnequal = "job-pods-unequal"

// JobObjects is how jobs of the trace become Job objects, with as: job.
type JobObjects struct {
	// Failed pods that a Job survives. Pods that preemption or eviction took do not count, unless restart.policy is never.
	BackoffLimit int `yaml:"backoffLimit" min:"0" max:"1000000"`
	// Calls per second that the Job controller's client may make. kube-controller-manager's own default is 20.
	QPS float64 `yaml:"qps" min:"0.1" max:"1000000"`
	// Calls that the client may make at once. kube-controller-manager's own default is 30.
	Burst int `yaml:"burst" min:"1" max:"1000000"`
}

// SetDefaults takes the limits of kube-controller-manager (k8s.io/kubernetes v1.37.2
// pkg/controller/apis/config/v1alpha1/defaults.go), and the trace's word: work that fails has failed.
func (o *JobObjects) SetDefaults() { *o = JobObjects{QPS: 20, Burst: 30} }

// gateJobGangs lets the Job controller make the PodGroups of Jobs.
const gateJobGangs = "WorkloadWithJob"

func (s *Scenario) checkJobObjects() {
	w := &s.Workload
	if w.As != plan.AsJob {
		for _, f := range []string{"backoffLimit", "qps", "burst"} {
			var d JobObjects
			d.SetDefaults()
			if s.doc.Has("workload.job."+f) && w.Job != d {
				s.doc.Problemf("workload.job."+f, "workload.job.%s: only with as: job; add that or remove it", f)
			}
		}
		return
	}
	w.Gangs.each(func(path string, g Gangs) {
		if g.Policy == plan.GangsPodGroups && g.OnLoss == plan.LossRestart {
			s.doc.Problemf(path, "%s: onLoss: restart with as: job: the Job controller replaces single pods; write onLoss: "+
				"wait, or as: pods", path)
		}
	})
}

// planJobController is nil when no job of the trace is a Job object.
func (s *Scenario) planJobController() *plan.JobController {
	if s.Workload.As != plan.AsJob {
		return nil
	}
	return &plan.JobController{QPS: s.Workload.Job.QPS, Burst: s.Workload.Job.Burst}
}

// batch returns the Job object that a job becomes, or nil. A Job has one template, so its pods must be alike.
func (j *jobs) batch(job *plan.Job) *plan.Batch {
	w := &j.s.Workload
	if w.As != plan.AsJob {
		return nil
	}
	for i := range job.Pods {
		if !reflect.DeepEqual(job.Pods[i], job.Pods[0]) {
			j.warn(WarnUnequal, "jobs whose pods ask for different amounts cannot be one Job object; they are plain pods", 1)
			return nil
		}
	}
	return &plan.Batch{Name: job.Name, BackoffLimit: w.Job.BackoffLimit,
		IgnoreDisruption: w.Restart.Policy == plan.RestartAlways}
}
