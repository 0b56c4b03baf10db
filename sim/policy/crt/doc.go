// Package crt runs controllers that are written for controller-runtime in lockstep with the engine.
//
// What decides is upstream's code as it is: its reconcilers, and of controller-runtime the manager, the controllers,
// sources, predicates, handlers, the cache's readers and indexes, and the client. What is replaced is what would let
// Go's scheduler, a timer or a random generator into a run:
//
//   - The cache's informers are the API's ordered ones, which are told one change per event of the engine.
//   - The work queue of each controller is package workqueue's. A reconcile begins as an event of its own; the delays
//     that it asks for are events, too. Queues are made in the order in which controllers are added, not in the one
//     in which their goroutines begin, and what the sources of a controller find at the beginning is sorted.
//   - Names that the API would generate are given by the client, from what is in the object and the instant, so that
//     several goroutines of one reconcile may create objects at once.
//   - Events (the Kubernetes objects) are handed to a function instead of being sent.
//   - Metrics, health probes and leader election are off.
//
// Everything that an upstream program may ask its cache for should be warmed (Params.Warm): an informer that is made
// later, on first use, makes upstream wait while it may hold a lock, and a goroutine that waits for a lock stops
// virtual time.
//
// A controller has as many workers as upstream gives it, up to Params.Workers: reconciles that sleep, or wait for the
// API, overlap as in reality, but only one of them runs at a time.
//
// # Use
//
//	m, err := crt.New(crt.Params{…})
//	reconciler.SetupWithManager(m)   // it is a manager.Manager
//	m.Begin()                        // on the driver goroutine, before the engine runs
//	…
//	m.Close()                        // then drain the engine
package crt
