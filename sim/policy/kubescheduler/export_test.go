package kubescheduler

// Overlook makes the incremental cycle miss the next n changes of nodes.
func (s *Scheduler) Overlook(n int) { s.inner.Overlook(n) }
