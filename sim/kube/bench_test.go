package kube

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// measure resets the timer and reports, at the end, the CPU time of the process per operation, which unlike wall time
// means the same on a busy machine. It includes garbage collection.
func measure(b *testing.B) {
	b.ReportAllocs()
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	runtime.GC()
	start := cpu()
	b.Cleanup(func() { b.ReportMetric(float64(cpu()-start)/float64(b.N)/1000, "cpu-µs/op") })
	b.ResetTimer()
}

func BenchmarkPodCreate(b *testing.B) {
	f := newFixture(b)
	f.opts.OnCommit = nil
	pods := make([]*corev1.Pod, b.N)
	for i := range pods {
		pods[i] = gpuPod(fmt.Sprintf("p%d", i))
	}
	measure(b)
	for _, p := range pods {
		create(f, p)
	}
}

func BenchmarkPodBind(b *testing.B) {
	f := newFixture(b)
	f.opts.OnCommit = nil
	create(f, gpuNode("n"))
	for i := range b.N {
		create(f, gpuPod(fmt.Sprintf("p%d", i)))
	}
	measure(b)
	for i := range b.N {
		f.bind(fmt.Sprintf("p%d", i), "n")
	}
}

func BenchmarkPodStatusUpdate(b *testing.B) {
	f := newFixture(b)
	f.opts.OnCommit = nil
	create(f, gpuPod("p"))
	f.bind("p", "n")
	p := ready(f.pod("p"))
	p.ResourceVersion = ""
	measure(b)
	for i := range b.N {
		p.Status.Message = fmt.Sprint(i)
		if _, err := f.Update(p, "status"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClientStatusPatch(b *testing.B) {
	f := newFixture(b)
	f.opts.OnCommit = nil
	create(f, gpuPod("p"))
	cs := f.clientset().CoreV1().Pods("default")
	measure(b)
	for i := range b.N {
		data := fmt.Sprintf(`{"status":{"$setElementOrder/conditions":[{"type":"PodScheduled"}],"conditions":[`+
			`{"lastTransitionTime":null,"message":"0/5 nodes are available %d","reason":"Unschedulable",`+
			`"status":"False","type":"PodScheduled"}]}}`, i)
		if _, err := cs.Patch(bg, "p", types.StrategicMergePatchType, []byte(data), metav1.PatchOptions{},
			"status"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClientCreate(b *testing.B) {
	f := newFixture(b)
	f.opts.OnCommit = nil
	cs := f.clientset().CoreV1().Pods("default")
	measure(b)
	for i := range b.N {
		if _, err := cs.Create(bg, gpuPod(fmt.Sprintf("p%d", i)), metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrowth shows that a write costs the same however many objects there are.
func BenchmarkGrowth(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newFixture(b)
			f.opts.OnCommit = nil
			inf := f.Informer(podsGVR, activePods)
			if _, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{}); err != nil {
				b.Fatal(err)
			}
			for i := range n {
				create(f, gpuPod(fmt.Sprintf("p%d", i)))
			}
			measure(b)
			for i := range b.N {
				p := create(f, gpuPod(fmt.Sprintf("q%d", i)))
				if err := f.Bind("default", binding(p.Name, "n")); err != nil {
					b.Fatal(err)
				}
				if err := f.Delete(podsGVR, "default", p.Name, metav1.NewDeleteOptions(0)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
