// Package kube is the in-memory Kubernetes API of a simulated cluster: one typed store with upstream's defaulting,
// strategies, validation and admission, and thin fronts over it for client-go, controller-runtime and plain HTTP.
//
// # Semantics
//
// The store keeps one object per resource and name, in the newest served version, and counts one resourceVersion
// across all resources. Writes run upstream's own registry strategies (k8s.io/kubernetes/pkg/registry), so what a
// create or update may set, how generation moves and what is rejected is decided by upstream's code. (Pods like others
// before them, and status updates of the usual shape, are stored as it would store them without asking: quick.go.)
// Objects of kinds without an upstream strategy (custom resources) get what the API server does for a custom resource
// with a status subresource. Stored objects are immutable: readers, informers and watchers share them by pointer and
// must not change them.
//
// Known differences from a real API server, all deliberate:
//   - managedFields are not shown. Server-side apply is upstream's structured merge with upstream's field manager;
//     who owns which field is tracked from an object's first apply on, in a side table. What was there before belongs
//     to "before-first-apply", as in upstream for such objects, and what is written later other than by an apply to
//     one manager called "other". Kinds without a published schema (custom resources) are applied with upstream's
//     deduced types, where lists are atomic.
//   - Deleting an unbound or finished pod, or any pod with grace period 0, sends DELETED alone; a real server sends a
//     MODIFIED with grace period 0 just before.
//   - Owner garbage collection, namespace termination and the release of quota happen within the write that causes
//     them instead of some milliseconds later in a controller.
//   - Events (core and events.k8s.io) are counted and dropped unless Options.KeepEvents is set.
//   - Dry runs are validated like other writes, change nothing and are answered with the object sent.
//   - Authentication, authorization, the ServiceAccount plugin and API priority and fairness do not exist.
//
// # Order and concurrency
//
// One write at a time. A write commits, then OnCommit, then the watches, then the synchronous informers (in the order
// of their creation) are told, in the writer's goroutine, before the call returns. A write made by one of those
// callbacks commits at once but is told after the commit being told, so everybody sees commits in resourceVersion
// order. Reads are safe at any time. No lock is held while a callback runs or while a Gate blocks a request.
package kube
