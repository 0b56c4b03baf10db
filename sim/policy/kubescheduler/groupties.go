package kubescheduler

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultpreemption"
	"k8s.io/kubernetes/pkg/scheduler/framework/preemption"
)

// A pod group of disruption mode All is preempted as a whole. Upstream evicts its members in the order in which the
// snapshot lists them, which is Go's map order. orderVictims makes it that of their names.

// orderVictims puts an ordered view of the snapshot under the preemption evaluators of every profile.
func orderVictims(sched *scheduler.Scheduler) error {
	for _, profile := range sched.Profiles {
		for _, plugin := range profile.EnqueueExtensions() {
			p, ok := plugin.(*defaultpreemption.DefaultPreemption)
			if !ok {
				continue
			}
			// Of the two evaluators only that for single pods is exported.
			f := reflect.ValueOf(p).Elem().FieldByName("podGroupEvaluator")
			if !f.IsValid() || f.Kind() != reflect.Interface {
				return fmt.Errorf("DefaultPreemption has no field podGroupEvaluator in this version of kube-scheduler")
			}
			f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
			ev, ok := f.Interface().(*preemption.PodGroupEvaluator)
			if !ok {
				return fmt.Errorf("DefaultPreemption evaluates pod groups with a %s in this version of kube-scheduler",
					f.Elem().Type())
			}
			ev.Handle = orderedHandle{ev.Handle}
			p.Evaluator.Handler = orderedHandle{p.Evaluator.Handler}
		}
	}
	return nil
}

// orderedHandle, orderedSnapshot and orderedStates hand through to orderedState.
type orderedHandle struct{ fwk.Handle }

// MutableSnapshotSharedLister implements fwk.Handle.
func (h orderedHandle) MutableSnapshotSharedLister() fwk.MutableSnapshotSharedLister {
	return orderedSnapshot{h.Handle.MutableSnapshotSharedLister()}
}

type orderedSnapshot struct {
	fwk.MutableSnapshotSharedLister
}

// PodGroupStates implements fwk.SharedLister.
func (s orderedSnapshot) PodGroupStates() fwk.PodGroupStateLister {
	return orderedStates{s.MutableSnapshotSharedLister.PodGroupStates()}
}

type orderedStates struct{ fwk.PodGroupStateLister }

// Get implements fwk.PodGroupStateLister.
func (s orderedStates) Get(namespace, group string) (fwk.PodGroupState, error) {
	state, err := s.PodGroupStateLister.Get(namespace, group)
	if err != nil {
		return nil, err
	}
	return orderedState{state}, nil
}

// orderedState lists the members of a group by name.
type orderedState struct{ fwk.PodGroupState }

// ScheduledPods implements fwk.PodGroupState.
func (s orderedState) ScheduledPods() []*v1.Pod {
	pods := s.PodGroupState.ScheduledPods()
	slices.SortFunc(pods, func(a, b *v1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return pods
}
