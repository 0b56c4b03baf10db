package kube

import (
	"bytes"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
)

// sized is the part of the generated protobuf code that sameObject needs.
type sized interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

// scratch holds the two buffers of a comparison.
var scratch = sync.Pool{New: func() any { return new([2][]byte) }}

// sameObject reports whether two states of an object are stored alike. Like upstream's storage it compares the
// serialized form, which is much cheaper than reflection; the sizes alone settle most cases.
func sameObject(a, b runtime.Object) bool {
	if p, ok := a.(*corev1.Pod); ok {
		if q, ok := b.(*corev1.Pod); ok && p.Status.Phase != q.Status.Phase {
			return false
		}
	}
	x, ok := a.(sized)
	y, ok2 := b.(sized)
	if !ok || !ok2 {
		return equality.Semantic.DeepEqual(a, b)
	}
	n := x.Size()
	if n != y.Size() {
		return false
	}
	bufs := scratch.Get().(*[2][]byte)
	defer scratch.Put(bufs)
	for i, o := range []sized{x, y} {
		if cap(bufs[i]) < n {
			bufs[i] = make([]byte, n, 2*n)
		}
		bufs[i] = bufs[i][:n]
		if _, err := o.MarshalToSizedBuffer(bufs[i]); err != nil {
			return equality.Semantic.DeepEqual(a, b)
		}
	}
	return bytes.Equal(bufs[0], bufs[1])
}
