package traces

import (
	"bytes"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// jobKeys are the keys of a job line, in the order in which they are written.
const jobKeys = "id, submit_s, run_s, gpus, gpu_milli, pods, cpu_milli, memory_mib, gpu_models, tenant, user, class, " +
	"priority, outcome, observed_wait_s"

// decodeHeader reads a header line strictly. The problems carry no file and line.
func decodeHeader(line []byte) (Header, []Problem) {
	var h Header
	if !bytes.Contains(line, []byte(`"orrery_trace"`)) {
		return h, []Problem{{Code: CodeHeader, Message: fmt.Sprintf("not a trace header: %q", Shorten(string(line))),
			Fix: `the first line must be {"orrery_trace":1,"name":…}; name the format if the file is another dataset`}}
	}
	// The version comes first: a newer one may well have fields this one does not know.
	var version struct {
		Format int `json:"orrery_trace"`
	}
	if err := json.Unmarshal(line, &version); err != nil {
		return h, []Problem{{Code: CodeHeader, Message: JSONMessage(err), Fix: "write one JSON object on one line"}}
	}
	if version.Format != FormatVersion {
		return h, []Problem{{Code: CodeHeader, Message: fmt.Sprintf("format version %d", version.Format),
			Fix: fmt.Sprintf("this program reads version %d; use the release that wrote the file", FormatVersion)}}
	}
	if err := json.Unmarshal(line, &h, json.RejectUnknownMembers(true)); err != nil {
		return h, []Problem{{Code: CodeHeader, Message: JSONMessage(err),
			Fix: "keys: orrery_trace, name, source, licence, citation, time_zero, units, generator, importer, skipped, " +
				"notes, jobs"}}
	}
	return h, checkHeader(h)
}

func checkHeader(h Header) []Problem {
	var out []Problem
	bad := func(fix, format string, args ...any) {
		out = append(out, Problem{Code: CodeHeader, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
	if u := StandardUnits(); h.Units != u && h.Units != (Units{}) {
		bad(fmt.Sprintf("version 1 has %+v; convert the values", u), "units are %+v", h.Units)
	}
	if h.TimeZero != "" {
		if _, err := time.Parse(time.RFC3339Nano, h.TimeZero); err != nil {
			bad("write an instant like 2017-10-03T00:00:00Z, or leave it empty", "time_zero is %q", Shorten(h.TimeZero))
		}
	}
	if h.Jobs < 0 {
		bad("write the number of job lines, or 0 for unknown", "jobs is %d", h.Jobs)
	}
	for _, s := range h.Skipped {
		if s.Rows < 0 || s.Reason == "" {
			bad("give each skip a reason and a number of rows", "skipped has %d rows for reason %q", s.Rows, s.Reason)
		}
	}
	return out
}

// jobDecoder decodes job lines, reusing its buffers.
type jobDecoder struct {
	Object
	job  Job
	seen seenKeys
	add  func(key string, v jsontext.Value)
}

func newJobDecoder() *jobDecoder {
	d := &jobDecoder{}
	d.add = d.member
	return d
}

// decode reads one line. With problems the job is not usable; they carry no file and line.
func (d *jobDecoder) decode(line []byte) (Job, []Problem) {
	d.job = Job{ObservedWait: WaitUnknown, GPUMilli: -1}
	d.seen = 0
	if !d.Read(line, d.add) {
		return d.job, d.problems
	}
	j := d.job
	for i, key := range []string{"id", "submit_s", "run_s", "gpus"} {
		if d.seen&(1<<i) == 0 {
			d.Bad(CodeMissing, "every job has id, submit_s, run_s and gpus", "%s is missing", key)
		}
	}
	if j.GPUMilli == -1 {
		j.GPUMilli = 0
		if j.GPUs > 0 {
			j.GPUMilli = 1000
		}
	}
	if len(d.problems) == 0 {
		d.problems = append(d.problems, j.Check()...)
	}
	return j, d.problems
}

// seenKeys has bit i set when the i-th required key was there.
type seenKeys uint8

func (d *jobDecoder) member(key string, v jsontext.Value) {
	j := &d.job
	switch key {
	case "id":
		d.seen |= 1
		j.ID = d.Text(key, v)
	case "submit_s":
		d.seen |= 2
		j.Submit = d.Seconds(key, v)
	case "run_s":
		d.seen |= 4
		j.Run = d.Seconds(key, v)
	case "gpus":
		d.seen |= 8
		j.GPUs = int(d.Amount(key, v))
	case "gpu_milli":
		j.GPUMilli = int(d.Amount(key, v))
	case "pods":
		j.Pods = int(d.Amount(key, v))
	case "cpu_milli":
		j.CPUMilli = d.Amount(key, v)
	case "memory_mib":
		j.MemoryMiB = d.Amount(key, v)
	case "gpu_models":
		j.GPUModels = d.list(key, v)
	case "tenant":
		j.Tenant = d.Shared(key, v)
	case "user":
		j.User = d.Shared(key, v)
	case "class":
		j.Class = d.Shared(key, v)
	case "priority":
		j.Priority = d.Shared(key, v)
	case "outcome":
		j.Outcome = d.Shared(key, v)
	case "observed_wait_s":
		j.ObservedWait = d.Seconds(key, v)
	default:
		d.Bad(CodeUnknown, "keys: "+jobKeys, "unknown key %q", Shorten(key))
	}
}
