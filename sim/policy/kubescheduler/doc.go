// Package kubescheduler runs the unmodified upstream kube-scheduler in lockstep with the engine.
//
// What decides is k8s.io/kubernetes/pkg/scheduler as it is: queue, plugins, preemption, binding cycle. What this
// package adds is when it may run and where its nondeterminism goes:
//
//   - The engine grants one scheduling cycle at a time (ScheduleOne) while the scheduler's queue holds something, and
//     waits for quiescence before anything else happens. A cycle occupies the scheduler for Latency.Attempt.
//   - API calls go through the store's front and the engine's gate: they take Latency.API of virtual time and happen
//     one after another, in an order that does not depend on Go's scheduler.
//   - The queue's clock never returns one instant twice, so ties by time disappear. Its flush ticker is driven by the
//     engine and ticks only while a pod is backing off.
//   - Parallelism is 1, which makes the early stop of node filtering, and so the effect of percentageOfNodesToScore,
//     a function of the input.
//   - Upstream breaks two ties by Go's map order: which nodes preemption tries first, and which of several equally good
//     nodes it picks. Both are settled through exported fields, see ties.go. Upstream's global math/rand is seeded by
//     the run.
//
// Upstream evaluates every node for every attempt. Package incremental takes the place of that one step: it keeps what
// upstream's plugins said of each node and asks them again only where something changed, with the same outcome.
// Params.ExactUpstream leaves the step as it is. The tests named Exact hold both against each other: random worlds,
// fuzzed ones, whole runs, and a stale entry planted on purpose.
//
// Pod groups (feature gate GenericWorkload) are scheduled by upstream's own cycle for groups, see podgroups.go. It is
// one cycle of the engine; for its price every member it tries counts. A member is recorded when its fate is known, in
// the group's order: as scheduled when upstream assumes it, else with the reason upstream gives, which for a member
// that found a node is the group's. Upstream keeps a rejected group in its back-off queue and tries it again for ever;
// once nothing can have changed for it, that does not keep a run alive. Two things are Go's map order in upstream: the
// place in the queue of a group whose pods came first, and the order in which a group that is preempted as a whole is
// evicted. Both are settled, see groupties.go for the latter. With a topology constraint (feature gate
// TopologyAwareWorkloadScheduling) a group is tried in every placement; their order is settled in placements.go.
//
// Not covered: HTTP extenders (they would leave virtual time) are refused, and so are composite pod groups, which
// upstream submits in Go's map order.
package kubescheduler
