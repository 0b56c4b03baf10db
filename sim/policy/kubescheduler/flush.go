package kubescheduler

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"k8s.io/kubernetes/pkg/scheduler/backend/heap"
	internalqueue "k8s.io/kubernetes/pkg/scheduler/backend/queue"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"orrery/sim/engine"
	"orrery/sim/units"
)

// Upstream looks every second whether something in its back-off queue has waited long enough. Mostly nothing has, above
// all no gang: those wait long, and for ever. backoffs is what the queue holds, so that the driver ticks when the first
// entity is due. It belongs to the driver, which looks at it while everybody else is quiescent.
type backoffs []*heap.Heap[framework.QueuedEntityInfo]

// newBackoffs finds the two heaps of upstream's back-off queue, which are not exported.
func newBackoffs(q internalqueue.SchedulingQueue) (out backoffs, err error) {
	v := reflect.ValueOf(q)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		v = v.Elem().FieldByName("backoffQ")
	}
	if !v.IsValid() || v.Kind() != reflect.Interface || v.Elem().Kind() != reflect.Pointer ||
		v.Elem().Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("the scheduling queue has no field backoffQ in this version of kube-scheduler")
	}
	for _, name := range []string{"entityBackoffQ", "entityErrorBackoffQ"} {
		f := v.Elem().Elem().FieldByName(name)
		if f.IsValid() && f.CanAddr() {
			f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
			if h, ok := f.Interface().(*heap.Heap[framework.QueuedEntityInfo]); ok {
				out = append(out, h)
				continue
			}
		}
		return nil, fmt.Errorf("the back-off queue has no heap %s in this version of kube-scheduler", name)
	}
	return out, nil
}

// window is how often upstream looks (backoffQOrderingWindowDuration in backend/queue).
const window = units.Time(time.Second)

// due returns the first flush after now that can find something, given that flushes are whole windows after the epoch.
func (b backoffs) due(now units.Time, epoch time.Time) units.Time {
	next := (now/window + 1) * window
	at := units.Time(-1)
	for _, h := range b {
		e, ok := h.Peek()
		if !ok || e == nil {
			continue
		}
		end := e.GetBackoffExpiration()
		if end.IsZero() {
			return next // not yet worked out, which the flush does
		}
		if t := (max(units.Time(end.Sub(epoch)), 0)/window + 1) * window; at < 0 || t < at {
			at = t
		}
	}
	return max(at, next)
}

// flushBackoff schedules the flush of the back-off queue. An idle one does not keep the run alive.
func (s *Scheduler) flushBackoff() {
	e := s.p.Engine
	at := (e.Now()/window + 1) * window
	if !s.everyWindow {
		at = s.backoffs.due(e.Now(), e.Clock().Add(-units.Duration(e.Now())))
	}
	idle := s.idle(at)
	if s.flush.Pending() {
		if at >= s.flush.At() && (idle || !s.flushIdle) {
			return
		}
		at = min(at, s.flush.At())
		idle = s.idle(at)
		e.Cancel(s.flush)
	}
	schedule := e.At
	if idle {
		schedule = e.Background
	}
	s.flush, s.flushIdle = schedule(at, engine.PhaseObserve, "back-off flush", func() { s.clock.tick() }), idle
}

// idle reports whether what backs off has been tried since the last change that could help it. Pods back off for ever
// where there are no nodes: upstream takes that for an error, and tries again whatever happens.
func (s *Scheduler) idle(at units.Time) bool {
	return s.groups.idle(at) || s.p.Empty != nil && s.p.Empty() && at.Sub(s.touched) > linger
}
