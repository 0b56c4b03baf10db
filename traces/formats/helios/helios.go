// Package helios imports cluster_log.csv of SenseTime's Helios dataset: one Slurm job a row.
//
// States follow the dataset's notes, which count TIMEOUT and NODE_FAIL as failed. Jobs without GPUs are kept.
package helios

import (
	"bytes"

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
		Name:    "helios",
		Summary: "SenseTime Helios 2020, cluster_log.csv: Slurm jobs with user, virtual cluster, state, wait",
		Licence: "CC-BY-4.0",
		Citation: "Hu et al., Characterization and Prediction of Deep Learning Workloads in Large-Scale GPU Datacenters, " +
			"SC 2021; github.com/S-Lab-System-Group/HeliosData",
	}
}

// columns of the dataset's README. Start and end are what duration and queue were computed from.
var columns = []string{"job_id", "user", "vc", "gpu_num", "cpu_num", "node_num", "state", "submit_time", "start_time",
	"end_time", "duration", "queue"}

// Detect implements traces.Format.
func (Format) Detect(_ string, head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	for _, column := range []string{"job_id", "vc", "gpu_num", "cpu_num", "submit_time", "duration", "queue"} {
		if !bytes.Contains(line, []byte(column)) {
			return false
		}
	}
	return true
}

// Open implements traces.Format.
func (f Format) Open(in traces.Input) (traces.Source, error) {
	t, err := table.Open(in, table.Columns{Required: columns})
	if err != nil {
		return nil, err
	}
	b := table.NewCalendarBatch(t)
	for t.Next() {
		b.Add(job(t, b))
	}
	return b.Source(traces.Header{Name: "helios", Licence: f.Info().Licence, Citation: f.Info().Citation,
		Source: "github.com/S-Lab-System-Group/HeliosData, cluster_log.csv", Importer: "helios " + Version,
		Notes: []string{"times are local time of the cluster without zone, read as UTC"}})
}

func job(t *table.Table, b *table.Batch) traces.Job {
	submit := t.Instant("submit_time")
	j := traces.Job{
		ID:           t.ID("job_id"),
		Submit:       table.SinceEpoch(submit),
		GPUs:         int(t.Int("gpu_num", traces.GPUsMax)),
		CPUMilli:     t.Int("cpu_num", traces.CPUMilliMax/1000) * 1000,
		Pods:         int(t.Int("node_num", traces.PodsMax)),
		Tenant:       t.Word("vc"),
		User:         t.Word("user"),
		Outcome:      t.Outcome("state"),
		ObservedWait: t.Seconds("queue"),
	}
	if j.GPUs > 0 {
		j.GPUMilli = 1000
	}
	j.Run = t.Seconds("duration")
	if j.Outcome == traces.Unknown {
		j.Run = b.Run(j.Run)
	}
	if !t.Missing("start_time") && !t.Missing("end_time") {
		start, end := t.Instant("start_time"), t.Instant("end_time")
		if end.Sub(start) != j.Run || start.Sub(submit) != j.ObservedWait {
			b.Note("duration or queue differs from the row's own start and end; duration and queue were used")
		}
	}
	return j
}
