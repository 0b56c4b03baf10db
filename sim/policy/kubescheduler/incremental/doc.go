// Package incremental makes kube-scheduler's scheduling cycle cost what changed instead of what exists, decision for
// decision the same.
//
// # What it does
//
// Upstream evaluates the nodes anew for every attempt of every pod. Cycle takes the place of Scheduler.SchedulePod, an
// exported field. Pods that the scheduler's plugins cannot tell apart form a class: the fragments that the profile's
// plugins sign the pod with (fwk.SignPlugin, what upstream's opportunistic batching rests on) and the containers'
// resources are its key. For each class and node the package keeps what upstream's plugins said: the Filter status and
// the raw scores. An attempt asks them again only for nodes whose NodeInfo generation moved, and only for nodes that
// upstream would have looked at: evaluation is lazy, in the order of the search.
//
// What upstream's result depends on besides the plugins is computed from that: the rotating start of the search and the
// number of nodes after which it stops (percentageOfNodesToScore), the normalisation over the nodes found, the node
// that a heap of equal scores happens to have at its top (heap.go), the messages and the rejecting plugins of a failure
// (failure.go), the node hints of opportunistic batching, and nominated pods: a node counts as changed when others are
// nominated to it.
//
// Preemption is upstream's (preempt.go). Its dry run, which clones every node, is answered from what it said before of
// the nodes that did not change since (dry.go); upstream then tries the one node that it would choose, and acts. Where
// no pod in the cluster has a lower priority, there is nothing to try.
//
// The members of a pod group are placed one after the other in the snapshot, and taken back. Those cycles are
// incremental, too, but for the trials of a group's preemption and of placements, which change the snapshot as a whole.
//
// # When it does not
//
// A class needs plugins whose answer for a node follows from the pod's class and the NodeInfo alone; nodelocal.go lists
// them. Another plugin may be in the profile as long as it says Skip for the pod, as InterPodAffinity and
// PodTopologySpread do where nothing concerns them. Whatever else (claims, volumes, affinity, spreading, foreign
// plugins) takes upstream's own path, and Cycle counts how often and why.
//
// On that path one refusal is kept, as it is by far the dearest: that the devices of a node cannot be allocated to a
// pod's claims (devices.go).
//
// # What it reads that is not exported
//
// Unexported fields of upstream's structs: nextStartNodeIndex and percentageOfNodesToScore of Scheduler, the nominated
// pods of its queue, whether its snapshot is being mutated, and the frameworks' lists of Filter plugins (hidden.go).
// New refuses a kube-scheduler without them.
package incremental
