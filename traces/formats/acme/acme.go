// Package acme imports the job traces of Shanghai AI Lab's Acme dataset: trace_seren.csv and trace_kalos.csv, and
// extracts of them with the six columns job_id, submit_time, gpu_num, duration, queue and state.
//
// In the Kalos file duration is end − submit, queue included, although the dataset's README defines it as end − start;
// in the Seren file it is end − start. The README's own Kalos example shows it: submitted 11:00:58, started 11:01:08,
// ended 11:01:16, duration 18. The importer subtracts the queue for Kalos.
package acme

import (
	"bytes"
	"path/filepath"
	"strings"

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
		Name:    "acme",
		Summary: "Shanghai AI Lab Acme 2023 (Seren, Kalos), LLM development jobs",
		Licence: "CC-BY-4.0",
		Citation: "Hu et al., Characterization of Large Language Model Development in the Datacenter, USENIX NSDI 2024; " +
			"github.com/InternLM/AcmeTrace",
		Options: []traces.Option{{Key: "kalos", Default: "auto", Values: []string{"auto", "true", "false"},
			Meaning: "duration includes the queue; auto: when the file's name contains kalos"}},
	}
}

// Detect implements traces.Format.
func (Format) Detect(_ string, head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	names := strings.Split(strings.TrimSpace(string(line)), ",")
	has := map[string]bool{}
	for _, n := range names {
		has[strings.Trim(n, `" `)] = true
	}
	for _, column := range required {
		if !has[column] {
			return false
		}
	}
	return !has["vc"]
}

var required = []string{"job_id", "submit_time", "gpu_num", "duration", "queue", "state"}

// Open implements traces.Format.
func (f Format) Open(in traces.Input) (traces.Source, error) {
	t, err := table.Open(in, table.Columns{
		Required: required,
		Optional: []string{"user", "node_num", "cpu_num", "mem_per_pod_GB", "type"},
		Unused:   []string{"start_time", "end_time", "fail_time", "stop_time", "gpu_time", "shared_mem_per_pod"},
	})
	if err != nil {
		return nil, err
	}
	kalos := in.Set["kalos"] == "true" ||
		in.Set["kalos"] != "false" && strings.Contains(strings.ToLower(filepath.Base(in.Path)), "kalos")
	note := "duration taken as the length of the run (Seren)"
	if kalos {
		note = "queue subtracted from duration, which includes it in Kalos"
	}
	b := table.NewCalendarBatch(t)
	for t.Next() {
		b.Add(job(t, b, kalos))
	}
	return b.Source(traces.Header{Name: "acme", Licence: f.Info().Licence, Citation: f.Info().Citation,
		Source: "github.com/InternLM/AcmeTrace, job trace", Importer: "acme " + Version, Notes: []string{note}})
}

func job(t *table.Table, b *table.Batch, kalos bool) traces.Job {
	j := traces.Job{
		ID:           t.ID("job_id"),
		Submit:       table.SinceEpoch(t.Instant("submit_time")),
		GPUs:         int(t.Int("gpu_num", traces.GPUsMax)),
		User:         t.Word("user"),
		Class:        t.Word("type"),
		Outcome:      t.Outcome("state"),
		ObservedWait: t.Seconds("queue"),
	}
	if j.GPUs > 0 {
		j.GPUMilli = 1000
	}
	if !t.Missing("cpu_num") {
		j.CPUMilli = t.Int("cpu_num", traces.CPUMilliMax/1000) * 1000
	}
	if !t.Missing("node_num") {
		j.Pods = int(t.Int("node_num", traces.PodsMax))
	}
	if !t.Missing("mem_per_pod_GB") {
		// The column's name says decimal gigabytes.
		const mibPerGB = 1e9 / (1 << 20)
		j.MemoryMiB = int64(t.Number("mem_per_pod_GB", 1e6)*mibPerGB) * int64(max(j.Pods, 1))
	}
	length := t.Seconds("duration")
	if kalos {
		if length < j.ObservedWait {
			t.Fail(traces.CodeValue, "in Kalos duration includes the queue; for another cluster set kalos=false",
				"duration %s is less than queue %s", t.Text("duration"), t.Text("queue"))
		}
		length -= j.ObservedWait
	}
	j.Run = length
	if j.Outcome == traces.Unknown {
		j.Run = b.Run(length)
	}
	return j
}
