package incremental

import (
	"fmt"
	"reflect"
	"unsafe"

	"k8s.io/apimachinery/pkg/types"
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
	if err := checkNominated(nominated.Type()); err != nil {
		return h, err
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

// checkNominated holds that the nominator's map leads from node names to lists of references to pods.
func checkNominated(t reflect.Type) error {
	ok := t.Key().Kind() == reflect.String && t.Elem().Kind() == reflect.Slice &&
		t.Elem().Elem().Kind() == reflect.Struct
	for _, name := range []string{"name", "namespace", "uid"} {
		if !ok {
			break
		}
		f, found := t.Elem().Elem().FieldByName(name)
		ok = found && f.Type.Kind() == reflect.String
	}
	if ok {
		f, found := t.Elem().Elem().FieldByName("schedulingGroup")
		ok = found && f.Type.Kind() == reflect.Pointer
	}
	if !ok {
		return fmt.Errorf("the nominator's map is of type %s in this version of kube-scheduler", t)
	}
	return nil
}

// nominee is a pod that is nominated to a node.
type nominee struct {
	namespace, name string
	uid             types.UID
	member          bool // of a pod group
}

// eachNominated calls fn for every node that has nominated pods, in no order. The list is valid during the call.
func (h hidden) eachNominated(fn func(node string, pods []nominee)) {
	var pods []nominee
	for it := h.nominated.MapRange(); it.Next(); {
		pods = pods[:0]
		for i, list := 0, it.Value(); i < list.Len(); i++ {
			ref := list.Index(i)
			pods = append(pods, nominee{ref.FieldByName("namespace").String(), ref.FieldByName("name").String(),
				types.UID(ref.FieldByName("uid").String()), !ref.FieldByName("schedulingGroup").IsNil()})
		}
		fn(it.Key().String(), pods)
	}
}
