package plan

// Gang says that the pods of a job are placed together: they become the members of one PodGroup of the Kubernetes API
// (scheduling.k8s.io/v1beta1), which the scheduler binds as a whole or not at all. Their work starts when all run.
type Gang struct {
	// Min is the group's minCount: pods that must be placed at once. It is the number of the job's pods.
	Min int
	// TopologyKey is a node label: all members must stand on nodes with one value of it. "" = anywhere.
	TopologyKey string
	// DisruptAll says that the scheduler preempts the group as a whole or not at all (disruption mode All). Otherwise it
	// may preempt single members.
	DisruptAll bool
	// OnLoss is what becomes of the others when a member is lost: LossWait or LossRestart.
	OnLoss string
}

// What becomes of a gang when one of its pods is lost.
const (
	// LossWait keeps the others on their nodes, where they wait for the lost pod's replacement, as the workers of an
	// elastic launcher do, or containers that are started again in place.
	LossWait = "wait"
	// LossRestart deletes the others and submits the whole gang again, as JobSet's failure policy does.
	LossRestart = "restart"
)

// Policies of turning jobs into gangs.
const (
	GangsNone      = "none"
	GangsPodGroups = "pod-groups"
)
