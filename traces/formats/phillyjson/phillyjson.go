// Package phillyjson imports cluster_job_log, the JSON job log of Microsoft's Philly trace.
//
// A job is a list of attempts. Run is the sum of the lengths of its attempts: the scheduler under study sees one job
// that holds its GPUs for as long as the source's attempts held theirs together. GPUs is the number of GPUs of the last
// attempt that lists any. The wait is that before the first attempt. An attempt without start time never ran. One
// without end time ran until the next attempt's start, or, as the last one, until the snapshot (option snapshot; by
// default the latest instant in the file), with unknown outcome. Jobs without an attempt that lists GPUs are left out
// and counted: nothing tells how many GPUs they asked for.
package phillyjson

import (
	"bytes"
	"fmt"
	"io"
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
		Name:    "phillyjson",
		Summary: "Microsoft Philly 2017, original cluster_job_log: attempts, machines, user, virtual cluster, outcome",
		Licence: "CC-BY-4.0",
		Citation: "Jeon et al., Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN Training Workloads, USENIX ATC " +
			"2019; github.com/msr-fiddle/philly-traces",
		Options: []traces.Option{{Key: "snapshot", Default: "",
			Meaning: "end of the observation, YYYY-MM-DD HH:MM:SS; default: the latest instant in the file"}},
	}
}

// Detect implements traces.Format.
func (Format) Detect(_ string, head []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte{'['}) && bytes.Contains(head, []byte(`"jobid"`)) &&
		bytes.Contains(head, []byte(`"submitted_time"`))
}

// Open implements traces.Format.
func (f Format) Open(in traces.Input) (traces.Source, error) {
	im := &importer{path: in.Path, skipBad: in.SkipBad, ids: map[string]int{}, texts: map[string]string{}}
	if s := in.Set["snapshot"]; s != "" {
		at, err := table.ParseInstant(s)
		if err != nil {
			return nil, &traces.Errors{Count: 1, Problems: []traces.Problem{{Code: traces.CodeValue,
				Message: fmt.Sprintf("option snapshot is %q", s), Fix: "write YYYY-MM-DD HH:MM:SS"}}}
		}
		im.snapshot = at
	}
	el := newElements(in.Reader)
	for {
		raw, line, err := el.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			im.fatal(line, err)
			break
		}
		im.add(raw, line)
	}
	return im.source(traces.Header{Name: "philly", Licence: f.Info().Licence, Citation: f.Info().Citation,
		Source: "github.com/msr-fiddle/philly-traces, cluster_job_log", Importer: "phillyjson " + Version,
		Notes: []string{"times are local time of the cluster without zone, read as UTC",
			"run = sum of the lengths of a job's attempts; wait = wait before the first attempt"}})
}

// record is one element of the log.
type record struct {
	Status    string    `json:"status"`
	VC        string    `json:"vc"`
	JobID     string    `json:"jobid"`
	Attempts  []attempt `json:"attempts"`
	Submitted instant   `json:"submitted_time"`
	User      *string   `json:"user"`
}

type attempt struct {
	Start  instant  `json:"start_time"`
	End    instant  `json:"end_time"`
	Detail []detail `json:"detail"`
}

type detail struct {
	IP   string   `json:"ip"`
	GPUs []string `json:"gpus"`
}

// instant is a time that may be absent: missing, null, "" or "None".
type instant struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (i *instant) UnmarshalJSON(b []byte) error {
	s := string(bytes.Trim(b, `"`))
	if table.IsMissing(s) {
		return nil
	}
	at, err := table.ParseInstant(s)
	if err != nil {
		return fmt.Errorf("time %.40q is not like 2017-10-07 01:12:09", s)
	}
	i.Time = at
	return nil
}
