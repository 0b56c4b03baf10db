// Package openb imports the pod and node lists of Alibaba's cluster-trace-gpu-v2023 ("OpenB"), the trace of the paper
// on fragmentation gradient descent.
//
// Pod lists have eleven columns; the multigpu variants have the first five only, without times: their pods are all
// submitted at 0, in the file's order, and stay forever. gpu_milli is the share of each GPU. A pod in phase Running has
// a deletion_time nevertheless, the end of the observation or later. The cpu* and gpushare* lists are not in order of
// time; pod names are renumbered in every list.
package openb

import (
	"bytes"
	"strings"
	"time"

	"orrery/traces"
	"orrery/traces/formats/table"
)

// Version is the version of this importer; it changes when the same file gives other jobs.
const Version = "1"

// Format implements traces.Format.
type Format struct{}

// Info implements traces.Format.
func (Format) Info() traces.Info {
	return traces.Info{
		Name:    "openb",
		Summary: "Alibaba GPU cluster 2023 (FGD), pod lists: whole and fractional GPUs, GPU models, QoS",
		Licence: "Apache-2.0",
		Citation: "Weng et al., Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient " +
			"Descent, USENIX ATC 2023; github.com/alibaba/clusterdata, cluster-trace-gpu-v2023",
		Options: []traces.Option{{Key: "times", Default: "keep", Values: []string{"keep", "ignore"},
			Meaning: "ignore: submit all pods at 0 in the file's order, forever, as the paper's experiments do"}},
	}
}

// Detect implements traces.Format.
func (Format) Detect(_ string, head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	for _, column := range []string{"name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"} {
		if !bytes.Contains(line, []byte(column)) {
			return false
		}
	}
	return true
}

// timeColumns are there together or not at all.
var timeColumns = []string{"pod_phase", "creation_time", "deletion_time", "scheduled_time"}

// Open implements traces.Format.
func (f Format) Open(in traces.Input) (traces.Source, error) {
	t, err := table.Open(in, table.Columns{
		Required: []string{"name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"},
		Optional: append([]string{"gpu_spec", "qos"}, timeColumns...),
	})
	if err != nil {
		return nil, err
	}
	h := traces.Header{Name: "openb", Source: "github.com/alibaba/clusterdata cluster-trace-gpu-v2023, pod list",
		Licence: f.Info().Licence, Citation: f.Info().Citation, Importer: "openb " + Version}
	timed, err := hasTimes(t, in.Path)
	if err != nil {
		return nil, err
	}
	switch {
	case !timed:
		h.Notes = append(h.Notes, "the list has no times: all pods are submitted at 0 in its order and stay forever")
	case in.Set["times"] == "ignore":
		timed = false
		h.Notes = append(h.Notes, "times ignored on request: all pods are submitted at 0 in the list's order, forever")
	default:
		h.Notes = append(h.Notes, "run = deletion − scheduled time, or − creation time for pods that were never scheduled")
	}
	b := table.NewBatch(t)
	for t.Next() {
		b.Add(job(t, b, timed))
	}
	return b.Source(h)
}

func hasTimes(t *table.Table, path string) (bool, error) {
	var missing []string
	for _, c := range timeColumns {
		if !t.Has(c) {
			missing = append(missing, c)
		}
	}
	if len(missing) == 0 || len(missing) == len(timeColumns) {
		return len(missing) == 0, nil
	}
	return false, &traces.Errors{Count: 1, Problems: []traces.Problem{{File: path, Line: 1, Code: traces.CodeMissing,
		Message: "columns are missing: " + strings.Join(missing, ","),
		Fix:     "a list has all of " + strings.Join(timeColumns, ",") + ", or none"}}}
}

func job(t *table.Table, b *table.Batch, timed bool) traces.Job {
	j := traces.Job{
		ID:           t.ID("name"),
		CPUMilli:     t.Int("cpu_milli", traces.CPUMilliMax),
		MemoryMiB:    t.Int("memory_mib", traces.MemoryMiBMax),
		GPUs:         int(t.Int("num_gpu", traces.GPUsMax)),
		GPUMilli:     int(t.Int("gpu_milli", 1000)),
		Pods:         1,
		Class:        t.Word("qos"),
		ObservedWait: traces.WaitUnknown,
	}
	if spec := t.Word("gpu_spec"); spec != "" {
		j.GPUModels = strings.Split(spec, "|")
	}
	if timed {
		times(t, b, &j)
	}
	return j
}

func times(t *table.Table, b *table.Batch, j *traces.Job) {
	created, deleted := t.Seconds("creation_time"), t.Seconds("deletion_time")
	start := created
	if t.Text("scheduled_time") != "" {
		start = t.Seconds("scheduled_time")
		j.ObservedWait = span(t, "scheduled_time", start, "creation_time", created)
	}
	j.Submit = created
	j.Run = b.Run(span(t, "deletion_time", deleted, "the start", start))
	switch phase := t.Text("pod_phase"); phase {
	case "Succeeded":
		j.Outcome = traces.Succeeded
	case "Failed":
		j.Outcome = traces.Failed
	case "Running", "Pending":
	default:
		t.Fail(traces.CodeValue, "write Running, Pending, Succeeded or Failed", "pod_phase is %q", phase)
	}
}

// span returns to − from, which must not be negative.
func span(t *table.Table, toName string, to time.Duration, fromName string, from time.Duration) time.Duration {
	if to < from {
		t.Fail(traces.CodeValue, "correct one of them", "%s %s is before %s %s", toName, traces.FormatSeconds(to), fromName,
			traces.FormatSeconds(from))
		return 0
	}
	return to - from
}
