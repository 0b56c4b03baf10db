// Package control holds what the adapters of kube-controller-manager's controllers have in common: how unexported
// fields of an upstream controller are replaced, pods with names that do not depend on Go's scheduler, and recorders of
// events.
//
// A controller decides as upstream wrote it. Replaced are only parts that would let Go's scheduler, a random generator
// or real time into a run.
package control

import (
	"fmt"
	"reflect"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller"

	"orrery/sim/engine"
)

// Rate limit of the client of each of kube-controller-manager's controllers, in calls per second
// (k8s.io/kubernetes v1.37.2 pkg/controller/apis/config/v1alpha1/defaults.go).
const (
	DefaultQPS   = 20
	DefaultBurst = 30
)

// Swap sets a field of the struct that target points to, exported or not, and returns what was in it. The field's type
// must be T: after an upgrade of Kubernetes a field that is gone or has changed is an error, not a wrong run.
func Swap[T any](target any, field string, now T) (old T, err error) {
	f := reflect.ValueOf(target).Elem().FieldByName(field)
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		return old, fmt.Errorf("%T has no field %s of type %s in this version of Kubernetes", target, field,
			reflect.TypeFor[T]())
	}
	p := (*T)(unsafe.Pointer(f.UnsafeAddr()))
	old, *p = *p, now
	return old, nil
}

// SwapQueue sets a work queue and shuts down the one before it.
func SwapQueue(target any, field string, now workqueue.TypedRateLimitingInterface[string]) error {
	old, err := Swap(target, field, now)
	if err == nil {
		old.ShutDown()
	}
	return err
}

// SwapPodControl sets the part that writes pods to a PodControl that tells whom the one before it told.
func SwapPodControl(target any, field string, cs kubernetes.Interface, e *engine.Engine) error {
	now := &PodControl{Client: cs, Engine: e}
	old, err := Swap[controller.PodControlInterface](target, field, now)
	if err != nil {
		return err
	}
	real, ok := old.(controller.RealPodControl)
	if !ok {
		return fmt.Errorf("%T writes pods with a %T in this version of Kubernetes", target, old)
	}
	now.OnWrite = real.OnWrite
	return nil
}

// SwapRecorder sets a recorder of events.
func SwapRecorder(target any, field string, now record.EventRecorder) error {
	if logger, ok := now.(record.EventRecorderLogger); ok {
		if _, err := Swap(target, field, logger); err == nil {
			return nil
		}
	}
	_, err := Swap(target, field, now)
	return err
}

// SwapBroadcaster silences a broadcaster of events and shuts it down.
func SwapBroadcaster(target any, field string) error {
	old, err := Swap[record.EventBroadcaster](target, field, Silence{})
	if err == nil {
		old.Shutdown()
	}
	return err
}

// Silence takes a controller's events. They count nowhere: the journal tells what happens.
type Silence struct{ Recorder }

// StartEventWatcher implements record.EventBroadcaster.
func (Silence) StartEventWatcher(func(*corev1.Event)) watch.Interface { return watch.NewEmptyWatch() }

// StartRecordingToSink implements record.EventBroadcaster.
func (Silence) StartRecordingToSink(record.EventSink) watch.Interface { return watch.NewEmptyWatch() }

// StartLogging implements record.EventBroadcaster.
func (Silence) StartLogging(func(string, ...any)) watch.Interface { return watch.NewEmptyWatch() }

// StartStructuredLogging implements record.EventBroadcaster.
func (Silence) StartStructuredLogging(klog.Level) watch.Interface { return watch.NewEmptyWatch() }

// Shutdown implements record.EventBroadcaster.
func (Silence) Shutdown() {}

// NewRecorder implements record.EventBroadcaster.
func (s Silence) NewRecorder(*runtime.Scheme, corev1.EventSource) record.EventRecorderLogger {
	return s.Recorder
}

// Recorder hands a controller's events to Told, on the controller's goroutine. With Told nil they are dropped.
type Recorder struct {
	Told func(about runtime.Object, reason, message string)
}

// Event implements record.EventRecorder.
func (r Recorder) Event(about runtime.Object, _, reason, message string) {
	if r.Told != nil {
		r.Told(about, reason, message)
	}
}

// Eventf implements record.EventRecorder.
func (r Recorder) Eventf(about runtime.Object, _, reason, format string, args ...any) {
	if r.Told != nil {
		r.Told(about, reason, fmt.Sprintf(format, args...))
	}
}

// AnnotatedEventf implements record.EventRecorder.
func (r Recorder) AnnotatedEventf(about runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	r.Eventf(about, kind, reason, format, args...)
}

// WithLogger implements record.EventRecorderLogger.
func (r Recorder) WithLogger(klog.Logger) record.EventRecorderLogger { return r }
