package crt

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
)

// Event is what a controller would record as a Kubernetes Event.
type Event struct {
	Component string
	Object    runtime.Object // what it is about
	Type      string         // Normal or Warning
	Reason    string
	Message   string
}

// oldRecorder is a record.EventRecorder.
type oldRecorder struct {
	tell func(Event)
	name string
}

func (r oldRecorder) event(obj runtime.Object, kind, reason, message string) {
	if r.tell != nil {
		r.tell(Event{Component: r.name, Object: obj, Type: kind, Reason: reason, Message: message})
	}
}

// Event implements record.EventRecorder.
func (r oldRecorder) Event(obj runtime.Object, kind, reason, message string) {
	r.event(obj, kind, reason, message)
}

// Eventf implements record.EventRecorder.
func (r oldRecorder) Eventf(obj runtime.Object, kind, reason, format string, args ...any) {
	r.event(obj, kind, reason, fmt.Sprintf(format, args...))
}

// AnnotatedEventf implements record.EventRecorder.
func (r oldRecorder) AnnotatedEventf(obj runtime.Object, _ map[string]string, kind, reason, format string,
	args ...any) {
	r.event(obj, kind, reason, fmt.Sprintf(format, args...))
}

// newRecorder is an events.EventRecorder.
type newRecorder struct{ oldRecorder }

// Eventf implements events.EventRecorder.
func (r newRecorder) Eventf(obj, _ runtime.Object, kind, reason, _, note string, args ...any) {
	r.event(obj, kind, reason, fmt.Sprintf(note, args...))
}

// AnnotatedEventf implements events.AnnotatedEventRecorder.
func (r newRecorder) AnnotatedEventf(obj, _ runtime.Object, _ map[string]string, kind, reason, _, note string,
	args ...any) {
	r.event(obj, kind, reason, fmt.Sprintf(note, args...))
}
