package plan

// Batch says that a job is a batch/v1 Job object of the API: the Job controller makes its pods, replaces lost ones and
// says how it ended. All pods of such a job are alike.
type Batch struct {
	// BackoffLimit is how many failed pods the Job survives.
	BackoffLimit int
	// IgnoreDisruption is a pod failure policy that does not count pods that preemption or eviction took.
	IgnoreDisruption bool
	// Given says that the object comes from the user's manifests and is named Name; it is not made from the job.
	Given bool
	Name  string // of the object
}

// JobController configures the client of the upstream Job controller.
type JobController struct {
	// QPS and Burst are the rate limit of its client, in calls per second.
	QPS   float64
	Burst int
}

// Values of what a trace's job becomes.
const (
	AsPods = "pods"
	AsJob  = "job"
)
