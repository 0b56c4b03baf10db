package kubescheduler

// Overlook makes the incremental cycle miss the next n changes of nodes.
func (s *Scheduler) Overlook(n int) { s.inner.Overlook(n) }

// FlushEveryWindow flushes the back-off queue every second, whether anything is due or not.
func (s *Scheduler) FlushEveryWindow() { s.everyWindow = true }
