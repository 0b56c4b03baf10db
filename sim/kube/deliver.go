package kube

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
)

// news is a commit waiting to be told.
type news struct {
	kind   *kind
	commit Commit
}

// delivery tells commits one after the other. Whoever finds nobody telling tells everything there is, so a write made
// from within a callback is told later, in order, by the one who is telling already.
type delivery struct {
	mu    sync.Mutex
	queue []news
	busy  bool
}

// add queues a commit. The caller holds the store's write lock, so the queue is in resourceVersion order.
func (d *delivery) add(k *kind, c Commit) {
	d.mu.Lock()
	d.queue = append(d.queue, news{k, c})
	d.mu.Unlock()
}

// take returns the queued news and makes the caller the teller, unless there is one or nothing to tell.
func (d *delivery) take(spent []news) []news {
	d.mu.Lock()
	defer d.mu.Unlock()
	if spent == nil && d.busy {
		return nil
	}
	batch := d.queue
	d.busy = len(batch) > 0
	d.queue = spent[:0]
	return batch
}

// tell tells everything that is queued.
func (s *Store) tell() {
	batch := s.told.take(nil)
	for len(batch) > 0 {
		for i := range batch {
			s.tellOne(batch[i])
		}
		clear(batch)
		batch = s.told.take(batch)
	}
}

// tellOne tells one commit: the journal first, then watches, then informers in the order of their creation.
func (s *Store) tellOne(n news) {
	if s.opts.OnCommit != nil {
		s.opts.OnCommit(n.commit)
	}
	s.data.RLock()
	t := s.tables[n.kind]
	watchers, informers := t.watchers, t.informers
	s.data.RUnlock()
	for _, w := range watchers {
		w.send(n.commit)
	}
	for _, inf := range informers {
		inf.process(n.commit)
	}
}

// change is a commit as the follower of a selection sees it.
type change uint8

const (
	changeNone change = iota
	changeAdd
	changeUpdate
	changeDelete
)

// view translates a commit for the follower of a selection: an object that enters it is added, one that leaves it is
// deleted, in its last selected state with the resourceVersion of the change (as upstream's watch cache does).
func (sel *selection) view(k *kind, c Commit) (change, runtime.Object) {
	is := c.Verb != VerbDelete && sel.matches(c.New)
	was := c.Old != nil && sel.matches(c.Old)
	switch {
	case is && was:
		return changeUpdate, c.New
	case is:
		return changeAdd, c.New
	case was && c.Verb == VerbDelete:
		return changeDelete, c.New
	case was:
		return changeDelete, lastState(k, c)
	}
	return changeNone, nil
}
