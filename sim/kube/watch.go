package kube

import (
	"fmt"
	"sort"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// How many changes of a resource a watch may lag behind: historyLength, and of those older than historyAge as many as
// make up historyLeast. A client that lists and then watches is at most the writes of one instant late; a foreign one
// may lose its connection for a while, and upstream's watch cache keeps what is that old for such
// (k8s.io/apiserver v0.37.2 pkg/storage/cacher: DefaultEventFreshDuration). Every change holds two states of an object:
// without a bound by age most of what lives in a long run would be pods and statuses of the past.
const (
	historyLength = 4096
	historyLeast  = 256
	historyAge    = 75 * time.Second
)

// history is a ring of the last changes of one resource.
type history struct {
	ring  []pastCommit
	start int    // index of the oldest
	n     int    // changes in the ring
	lost  uint64 // resourceVersion of the newest change that was dropped
}

// pastCommit is a commit and when it was.
type pastCommit struct {
	Commit
	at time.Time
}

// add appends a change, forgetting those before it that are too many or too old.
func (h *history) add(c Commit, now time.Time) {
	for h.n == historyLength || h.n >= historyLeast && now.Sub(h.ring[h.start].at) > historyAge {
		h.lost = h.ring[h.start].RV
		h.ring[h.start] = pastCommit{}
		h.start = (h.start + 1) % len(h.ring)
		h.n--
	}
	if h.n == len(h.ring) {
		grown := make([]pastCommit, min(max(2*h.n, historyLeast/16), historyLength))
		for i := range h.n {
			grown[i] = *h.at(i)
		}
		h.ring, h.start = grown, 0
	}
	h.n++
	*h.at(h.n - 1) = pastCommit{c, now}
}

// at returns the i-th change, the oldest first.
func (h *history) at(i int) *pastCommit { return &h.ring[(h.start+i)%len(h.ring)] }

// since returns the changes after rv, oldest first, and whether none is missing.
func (h *history) since(rv uint64) ([]Commit, bool) {
	if rv < h.lost {
		return nil, false
	}
	first := sort.Search(h.n, func(i int) bool { return h.at(i).RV > rv })
	out := make([]Commit, 0, h.n-first)
	for i := first; i < h.n; i++ {
		out = append(out, h.at(i).Commit)
	}
	return out, true
}

// watcher queues the events of one watch. Its queue is unbounded, so a slow reader never holds up a writer.
type watcher struct {
	store *Store
	kind  *kind
	sel   selection
	from  uint64 // changes up to here are in the queue already

	mu     sync.Mutex
	events []watch.Event
	wake   chan struct{} // holds a token when events arrived
	done   chan struct{}
	once   sync.Once
	result chan watch.Event // made by ResultChan
	pump   sync.Once
}

// watchStart says where a watch begins.
type watchStart struct {
	rv       string // "" and "0": the current objects first, then changes
	initial  bool   // sendInitialEvents: the current objects first, then a bookmark, then changes
	bookmark bool   // allowWatchBookmarks
}

// Watch follows the selected objects of a resource in a namespace ("" is all). With an empty resourceVersion it begins
// with the present objects as ADDED, else with the changes after that version; if those are no longer known the error
// is Gone. The objects of events are shared and must not be changed. Stop ends the watch.
func (s *Store) Watch(gvr schema.GroupVersionResource, ns, resourceVersion string, ls labels.Selector,
	fs fields.Selector) (watch.Interface, error) {
	k, err := s.lookup(gvr)
	if err != nil {
		return nil, err
	}
	sel, err := newSelection(k, ns, ls, fs)
	if err != nil {
		return nil, err
	}
	return s.watch(k, sel, watchStart{rv: resourceVersion})
}

// watch starts a watcher.
func (s *Store) watch(k *kind, sel selection, start watchStart) (*watcher, error) {
	w := &watcher{store: s, kind: k, sel: sel, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.data.Lock()
	defer s.data.Unlock()
	t := s.tables[k]
	if start.rv == "" || start.rv == "0" || start.initial {
		for _, obj := range s.listLocked(k, sel) {
			w.events = append(w.events, watch.Event{Type: watch.Added, Object: obj})
		}
		if start.initial && start.bookmark {
			w.events = append(w.events, watch.Event{Type: watch.Bookmark, Object: initialEventsEnd(k, s.rv)})
		}
	} else if err := w.replay(&t.history, start.rv, s.rv); err != nil {
		return nil, err
	}
	w.from = s.rv
	if len(w.events) > 0 {
		w.wake <- struct{}{}
	}
	t.watchers = append(t.watchers[:len(t.watchers):len(t.watchers)], w)
	return w, nil
}

// replay queues the changes after rv.
func (w *watcher) replay(h *history, rv string, now uint64) error {
	from, err := strconv.ParseUint(rv, 10, 64)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q", rv))
	}
	if from > now {
		return apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", from, now), 1)
	}
	commits, ok := h.since(from)
	if !ok {
		return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", from, h.lost))
	}
	for _, c := range commits {
		w.append(c)
	}
	return nil
}

// initialEventsEnd is the bookmark after the initial events of a streaming list.
func initialEventsEnd(k *kind, rv uint64) runtime.Object {
	obj := k.newObject()
	m := obj.(metav1.Object)
	m.SetResourceVersion(strconv.FormatUint(rv, 10))
	m.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return obj
}

// append queues c as the watch's selection sees it and reports whether there was anything to queue.
func (w *watcher) append(c Commit) bool {
	types := [...]watch.EventType{changeAdd: watch.Added, changeUpdate: watch.Modified, changeDelete: watch.Deleted}
	kind, obj := w.sel.view(w.kind, c)
	if kind == changeNone {
		return false
	}
	w.events = append(w.events, watch.Event{Type: types[kind], Object: obj})
	return true
}

// send queues a commit told.
func (w *watcher) send(c Commit) {
	if c.RV <= w.from {
		return
	}
	w.mu.Lock()
	queued := w.append(c)
	w.mu.Unlock()
	if queued {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// next returns the next event; false when the watch was stopped or cancel closed. It blocks on channels only.
func (w *watcher) next(cancel <-chan struct{}) (watch.Event, bool) {
	for {
		w.mu.Lock()
		if len(w.events) > 0 {
			e := w.events[0]
			w.events[0] = watch.Event{}
			w.events = w.events[1:]
			w.mu.Unlock()
			return e, true
		}
		w.events = nil
		w.mu.Unlock()
		select {
		case <-w.wake:
		case <-w.done:
			return watch.Event{}, false
		case <-cancel:
			return watch.Event{}, false
		}
	}
}

// ready reports whether an event is queued.
func (w *watcher) ready() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events) > 0
}

// ResultChan implements watch.Interface. The first call starts the goroutine that feeds the channel.
func (w *watcher) ResultChan() <-chan watch.Event {
	w.pump.Do(func() {
		w.result = make(chan watch.Event)
		go func() {
			defer close(w.result)
			for {
				e, ok := w.next(nil)
				if !ok {
					return
				}
				select {
				case w.result <- e:
				case <-w.done:
					return
				}
			}
		}()
	})
	return w.result
}

// Stop implements watch.Interface.
func (w *watcher) Stop() {
	w.once.Do(func() {
		close(w.done)
		w.store.data.Lock()
		defer w.store.data.Unlock()
		t := w.store.tables[w.kind]
		keep := make([]*watcher, 0, len(t.watchers))
		for _, o := range t.watchers {
			if o != w {
				keep = append(keep, o)
			}
		}
		t.watchers = keep
	})
}
