// Package clusterautoscaler is a MODEL of the Kubernetes Cluster Autoscaler, not its code: that is no module that
// others can import. It follows the rules of its FAQ (github.com/kubernetes/autoscaler at 55c37cd, cluster-
// autoscaler/FAQ.md) and, where that is silent, of its sources (at 006685c: estimator/binpacking_estimator.go,
// decreasing_pod_orderer.go, expander/waste; at 01ea19e: config/flags; at 137161c: expander/priority; processors/
// nodegroupset as the FAQ tells of it). Whether a pod fits a node is asked of kube-scheduler's own code
// (scheduler.AdmissionCheck and the taint helpers of k8s.io/component-helpers).
//
// # Scaling up
//
// Every scan looks at the pods that the scheduler has called unschedulable. Those that fit on a node that is there or
// on its way are left to the scheduler. For the others each node group makes an offer: its template is filled first-
// fit, pods of the largest CPU and memory requests first. The expanders take one offer, which similar groups share if
// that is wanted. A group whose order fails, or
// whose machine is not ready in time, is left alone for a while (5 min, doubled each time up to 30 min, forgotten
// after 3 h). A node that has registered but does not offer its GPUs yet counts as on its way.
//
// # Scaling down
//
// A node is unneeded when it is used below the threshold (a GPU node by its GPUs alone, others by the larger of CPU and
// memory), its pods may be moved and fit on other nodes. It goes when it has been that for long enough and nothing was
// added, deleted or failed lately: empty nodes several at a time, others one by one, drained through the eviction API.
// A pod may not be moved when it has no controller, uses local storage or is a system pod without a budget (as the
// flags say), is not safe to evict by its annotation, or its budget allows no disruption. A node whose pods could not
// be moved is not looked at again for five minutes.
//
// # Left out
//
// Resource claims (their pods are never helped), volumes, inter-pod affinity and topology spread in the simulation;
// pods of DaemonSets on new nodes; the soft taint of candidates; pods that were evicted and have not come back; the
// price expander's preferred node and its price of a pod (the money an offer costs per hour and pod helped is
// compared); scale-up from below the minimum; limits of total cores and memory; unready clusters, in which it stops;
// that of many candidates that are not empty only thirty are considered at a time; that system pods block a node for an
// hour only; custom balancing labels and free resources in the comparison of groups; zones (a template stands in the
// first of its group). Its API calls take no time. It does not react to the notice of a spot interruption, as the real
// one does not without a termination handler.
package clusterautoscaler
