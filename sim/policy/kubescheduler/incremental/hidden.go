package incremental

import (
	"fmt"
	"reflect"
	"unsafe"

	"k8s.io/kubernetes/pkg/scheduler"
)

// field returns an unexported field of the struct that v points to, addressable and readable.
func field(v reflect.Value, name string, kind reflect.Kind) (reflect.Value, error) {
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}, fmt.Errorf("%s is no pointer to a struct in this version of kube-scheduler", v.Type())
	}
	f := v.Elem().FieldByName(name)
	if !f.IsValid() || f.Kind() != kind {
		return reflect.Value{}, fmt.Errorf("%s has no field %s of kind %s in this version of kube-scheduler",
			v.Type(), name, kind)
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem(), nil
}

// hidden is upstream's state that a scheduling cycle needs and that upstream does not export.
type hidden struct {
	start      *int          // Scheduler.nextStartNodeIndex
	percentage int32         // Scheduler.percentageOfNodesToScore
	nominated  reflect.Value // the queue's map from node name to nominated pods
	backup     reflect.Value // what the snapshot returns to after mutations: a pointer, nil while there are none
}

func reveal(sched *scheduler.Scheduler) (h hidden, err error) {
	v := reflect.ValueOf(sched)
	start, err := field(v, "nextStartNodeIndex", reflect.Int)
	if err != nil {
		return h, err
	}
	percentage, err := field(v, "percentageOfNodesToScore", reflect.Int32)
	if err != nil {
		return h, err
	}
	nominator, err := field(reflect.ValueOf(sched.SchedulingQueue), "nominator", reflect.Pointer)
	if err != nil {
		return h, err
	}
	nominated, err := field(nominator, "nominatedPods", reflect.Map)
	if err != nil {
		return h, err
	}
	if nominated.Type().Key().Kind() != reflect.String {
		return h, fmt.Errorf("the nominator's map has keys of type %s in this version of kube-scheduler",
			nominated.Type().Key())
	}
	snapshot, err := field(v, "nodeInfoSnapshot", reflect.Pointer)
	if err != nil {
		return h, err
	}
	backup, err := field(snapshot, "snapshotBackup", reflect.Pointer)
	if err != nil {
		return h, err
	}
	return hidden{start: start.Addr().Interface().(*int), percentage: int32(percentage.Int()), nominated: nominated,
		backup: backup}, nil
}

// eachNominated calls fn for every node that has nominated pods, in no order.
func (h hidden) eachNominated(fn func(node string)) {
	if h.nominated.Len() == 0 {
		return
	}
	for it := h.nominated.MapRange(); it.Next(); {
		fn(it.Key().String())
	}
}
