package kubescheduler

import (
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
)

// recorder takes upstream's events. The journal already holds what they say, but for one: who was preempted for whom.
type recorder struct {
	preempted func(victim *v1.Pod, by metav1.Object)
}

func (r recorder) WithLogger(klog.Logger) events.EventRecorderLogger { return r }

func (r recorder) Eventf(regarding, related runtime.Object, _, reason, _, _ string, _ ...interface{}) {
	if reason != "Preempted" {
		return
	}
	victim, ok := regarding.(*v1.Pod)
	if !ok {
		return
	}
	by, _ := related.(metav1.Object) // a pod, or upstream's wrapper around one
	r.preempted(victim, by)
}
