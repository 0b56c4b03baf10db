// Package philly imports the filtered form of Microsoft's Philly trace that the authors of Pollux published: a CSV of
// timestamp, duration, num_gpus, gpu_time and cluster, one row a job.
//
// The filter left no id, user, status, wait or placement. Ids are row numbers of the file ("philly-00001"): two equal
// rows are two jobs. Rows are not in order of time. The original job log is read by package phillyjson.
package philly

import (
	"bytes"
	"fmt"
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
		Name:    "philly",
		Summary: "Microsoft Philly 2017, filtered CSV of the Pollux artifact: submission, duration, GPUs, virtual cluster",
		Licence: "CC-BY-4.0",
		Citation: "Jeon et al., Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN Training Workloads, USENIX ATC " +
			"2019; github.com/msr-fiddle/philly-traces, filtered in github.com/petuum/adaptdl (Qiao et al., OSDI 2021)",
	}
}

// Detect implements traces.Format.
func (Format) Detect(_ string, head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	for _, column := range []string{"timestamp", "duration", "num_gpus", "gpu_time", "cluster"} {
		if !bytes.Contains(line, []byte(column)) {
			return false
		}
	}
	return true
}

// Open implements traces.Format.
func (f Format) Open(in traces.Input) (traces.Source, error) {
	t, err := table.Open(in, table.Columns{Required: []string{"timestamp", "duration", "num_gpus", "gpu_time", "cluster"}})
	if err != nil {
		return nil, err
	}
	b := table.NewCalendarBatch(t)
	for t.Next() {
		b.Add(job(t, b))
	}
	return b.Source(traces.Header{Name: "philly", Licence: f.Info().Licence, Citation: f.Info().Citation,
		Source:   "github.com/petuum/adaptdl branch osdi21-artifact, simulator/traces/philly.csv",
		Importer: "philly " + Version,
		Notes: []string{"times are local time of the cluster without zone, read as UTC",
			"the dataset's filter removed outcome, user and wait"}})
}

func job(t *table.Table, b *table.Batch) traces.Job {
	j := traces.Job{
		ID:           fmt.Sprintf("philly-%05d", t.Rows()),
		Submit:       table.SinceEpoch(t.Instant("timestamp")),
		GPUs:         int(t.Int("num_gpus", traces.GPUsMax)),
		Tenant:       t.Word("cluster"),
		ObservedWait: traces.WaitUnknown,
	}
	if j.GPUs > 0 {
		j.GPUMilli = 1000
	}
	run := t.Seconds("duration")
	// gpu_time is duration × GPUs: a row where it is not has been damaged or comes from another filter.
	const tolerance = time.Second
	asked := t.Seconds("gpu_time").Seconds()
	want := float64(run.Seconds() * float64(j.GPUs))
	if asked-want > tolerance.Seconds() || want-asked > tolerance.Seconds() {
		t.Fail(traces.CodeValue, "gpu_time is duration × num_gpus: correct the wrong one", "gpu_time is %g, expected %g",
			asked, want)
	}
	j.Run = b.Run(run)
	return j
}
