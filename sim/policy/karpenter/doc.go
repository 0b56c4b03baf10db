// Package karpenter runs Karpenter, the autoscaler of nodes, as it is: all controllers of sigs.k8s.io/karpenter
// v1.14.1 (provisioning, disruption, expiry, life cycle, termination, garbage collection …) over package crt, with a
// cloud provider over package cloud.
//
// # What is the provider's
//
// Karpenter leaves to a provider which machine a NodeClaim gets. The one here follows karpenter-provider-aws v1.14
// where that is public: reserved capacity before spot before on-demand; of the offerings that fit the cheapest; one
// that is out of stock is not tried again for three minutes, and when all are, the NodeClaim fails and its pods are
// scheduled anew. The cloud's real choice among spot offerings (price-capacity-optimized) needs to know how deep each
// market is, which nobody outside the cloud does: the cheapest is taken. On the notice of a spot interruption the
// provider does what AWS's interruption controller does: the offering counts as out of stock, and the NodeClaim is
// deleted, so that Karpenter cordons and drains the node and provisions for its pods. Rebalance recommendations do
// not exist.
//
// # What differs from upstream
//
//   - Where upstream ranges over a map and the order decides, there is an order (order.go).
//   - The provisioner waits for a pod without looking up every second: nothing depends on that.
//   - What Karpenter does only to look again at a cluster in which nothing has changed is left out (quiet.go): it finds
//     what it found. A test plays the same with every look, and all writes are the same.
//   - What Karpenter does only to look again (its polls) does not keep a run alive; a batch of pods, a failed API
//     call and an offering that will be tried again do.
//   - Feature gates are upstream's. CapacityBuffer is refused: its kind, which is of the Cluster Autoscaler's API, is
//     not served.
//
// testdata has a script for each of Karpenter's rules, which plays it and says what happened: weights, limits,
// requirements, minValues, taints and startup taints, the consolidation policies, consolidation of one and of several
// nodes, drift, expiry and terminationGracePeriod, budgets with schedules and reasons, do-not-disrupt, disruption
// budgets of pods, spot interruptions, spot-to-spot, reserved capacity, overlays, static pools, stock-outs and the time
// that a machine has to register.
package karpenter
