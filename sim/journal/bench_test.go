package journal

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"orrery/sim/units"
)

// typicalRecords is a pod's life as a run writes it, over and over.
func typicalRecords(n int) []Record {
	var out []Record
	for i := 0; len(out) < n; i++ {
		at, pod, job, node := units.Time(i)*1e6, fmt.Sprintf("default/job-%06d-0", i), fmt.Sprintf("job-%06d", i),
			fmt.Sprintf("h100-%04d", i%977)
		for _, b := range []Body{
			JobSubmit{Job: job, Tenant: "team-a", Pods: 1, GPUs: 4000, CPUMilli: 32000, MemoryMiB: 65536, Run: 1e12},
			PodCreate{Pod: pod, Job: job, GPUs: 4000, Slots: 4, CPUMilli: 32000, MemoryMiB: 65536},
			Attempt{Pod: pod, N: 1, Result: Unschedulable, Evaluated: 977, Plugins: []string{"NodeResourcesFit"},
				Message: "0/977 nodes are available: 977 Insufficient nvidia.com/gpu. preemption: 0/977 nodes are " +
					"available: 977 No preemption victims found for incoming pod."},
			Attempt{Pod: pod, N: 2, Result: Scheduled, Node: node, Evaluated: 977, Feasible: 12},
			PodBind{pod, node}, PodAssign{pod, node, []Slot{{Share: 1000}, {Index: 1, Share: 1000}, {Index: 2, Share: 1000}}},
			JobPlaced{job}, PodStart{pod}, JobStart{job}, PodEnd{Pod: pod, Phase: "Succeeded"}, PodRelease{pod, node},
			JobEnd{Job: job, Outcome: Succeeded}, PodDelete{pod},
		} {
			out = append(out, Record{at, b})
		}
	}
	return out[:n]
}

func BenchmarkWriter(b *testing.B) {
	recs := typicalRecords(130000)
	w := NewWriter(io.Discard)
	w.Append(0, Run{Format: FormatVersion})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := recs[i%len(recs)]
		w.Append(r.At+units.Time(i/len(recs))*1e12, r.Body)
	}
	if w.Err() != nil {
		b.Fatal(w.Err())
	}
}

func BenchmarkReader(b *testing.B) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	w.Append(0, Run{Format: FormatVersion})
	for _, r := range typicalRecords(130000) {
		w.Append(r.At, r.Body)
	}
	w.Append(w.last, End{})
	if _, _, err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var r *Reader
	for i := 0; b.Loop(); i++ {
		if i%130000 == 0 {
			r, _ = NewReader(bytes.NewReader(buf.Bytes()))
		}
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
