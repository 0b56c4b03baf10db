package traces

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
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
		return h, []Problem{{Code: CodeHeader, Message: fmt.Sprintf("not a trace header: %q", shorten(string(line))),
			Fix: `the first line must be {"orrery_trace":1,"name":…}; name the format if the file is another dataset`}}
	}
	// The version comes first: a newer one may well have fields this one does not know.
	var version struct {
		Format int `json:"orrery_trace"`
	}
	if err := json.Unmarshal(line, &version); err != nil {
		return h, []Problem{{Code: CodeHeader, Message: jsonMessage(err), Fix: "write one JSON object on one line"}}
	}
	if version.Format != FormatVersion {
		return h, []Problem{{Code: CodeHeader, Message: fmt.Sprintf("format version %d", version.Format),
			Fix: fmt.Sprintf("this program reads version %d; use the release that wrote the file", FormatVersion)}}
	}
	if err := json.Unmarshal(line, &h, json.RejectUnknownMembers(true)); err != nil {
		return h, []Problem{{Code: CodeHeader, Message: jsonMessage(err),
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
			bad("write an instant like 2017-10-03T00:00:00Z, or leave it empty", "time_zero is %q", shorten(h.TimeZero))
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
	src      bytes.Reader
	dec      *jsontext.Decoder
	problems []Problem
	texts    map[string]string // one copy of tenants, users, … however many jobs name them
}

func newJobDecoder() *jobDecoder {
	d := &jobDecoder{texts: map[string]string{}}
	d.dec = jsontext.NewDecoder(&d.src)
	return d
}

// decode reads one line. With problems the job is not usable; they carry no file and line.
func (d *jobDecoder) decode(line []byte) (Job, []Problem) {
	d.src.Reset(line)
	d.dec.Reset(&d.src)
	d.problems = d.problems[:0]
	j := Job{ObservedWait: WaitUnknown, GPUMilli: -1}
	var seen seenKeys
	if !d.members(&j, &seen) {
		return j, d.problems
	}
	for i, key := range []string{"id", "submit_s", "run_s", "gpus"} {
		if seen&(1<<i) == 0 {
			d.bad(CodeMissing, "every job has id, submit_s, run_s and gpus", "%s is missing", key)
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

// members reads the whole object. False: the line is no JSON object and nothing more can be said about it.
func (d *jobDecoder) members(j *Job, seen *seenKeys) bool {
	tok, err := d.dec.ReadToken()
	if err == nil && tok.Kind() != '{' {
		d.bad(CodeSyntax, "write one JSON object per line", "the line is no JSON object")
		return false
	}
	for err == nil {
		if tok, err = d.dec.ReadToken(); err != nil || tok.Kind() == '}' {
			break
		}
		key := tok.String()
		var value jsontext.Value
		if value, err = d.dec.ReadValue(); err == nil {
			d.member(j, seen, key, value)
		}
	}
	if err == nil {
		if rest := bytes.TrimSpace(append(d.dec.UnreadBuffer(), d.unread()...)); len(rest) > 0 {
			d.bad(CodeSyntax, "write one JSON object per line", "text after the object: %q", shorten(string(rest)))
			return false
		}
		return true
	}
	d.bad(CodeSyntax, "write one JSON object per line, with plain numbers (no NaN, no Infinity)", "%s", jsonMessage(err))
	return false
}

// unread returns what the decoder has not taken from the line yet.
func (d *jobDecoder) unread() []byte {
	rest := make([]byte, d.src.Len())
	n, _ := d.src.Read(rest)
	return rest[:n]
}

func (d *jobDecoder) member(j *Job, seen *seenKeys, key string, v jsontext.Value) {
	switch key {
	case "id":
		*seen |= 1
		j.ID = d.text(key, v)
	case "submit_s":
		*seen |= 2
		j.Submit = d.seconds(key, v)
	case "run_s":
		*seen |= 4
		j.Run = d.seconds(key, v)
	case "gpus":
		*seen |= 8
		j.GPUs = int(d.amount(key, v))
	case "gpu_milli":
		j.GPUMilli = int(d.amount(key, v))
	case "pods":
		j.Pods = int(d.amount(key, v))
	case "cpu_milli":
		j.CPUMilli = d.amount(key, v)
	case "memory_mib":
		j.MemoryMiB = d.amount(key, v)
	case "gpu_models":
		j.GPUModels = d.list(key, v)
	case "tenant":
		j.Tenant = d.shared(key, v)
	case "user":
		j.User = d.shared(key, v)
	case "class":
		j.Class = d.shared(key, v)
	case "priority":
		j.Priority = d.shared(key, v)
	case "outcome":
		j.Outcome = d.shared(key, v)
	case "observed_wait_s":
		j.ObservedWait = d.seconds(key, v)
	default:
		d.bad(CodeUnknown, "keys: "+jobKeys, "unknown key %q", shorten(key))
	}
}

func (d *jobDecoder) bad(code, fix, format string, args ...any) {
	d.problems = append(d.problems, Problem{Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (d *jobDecoder) seconds(key string, v jsontext.Value) time.Duration {
	s, err := ParseSeconds(string(v))
	if err != nil {
		d.bad(CodeValue, "write seconds as a plain number such as 12.5, from 0 to 3155760000, with at most 9 decimals",
			"%s is %s", key, shorten(string(v)))
	}
	return s
}

func (d *jobDecoder) amount(key string, v jsontext.Value) int64 {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 0 {
		d.bad(CodeValue, "write a whole number, 0 or more", "%s is %s", key, shorten(string(v)))
		return 0
	}
	return n
}

func (d *jobDecoder) text(key string, v jsontext.Value) string {
	if v.Kind() != '"' {
		d.bad(CodeValue, "write a JSON string", "%s is %s", key, shorten(string(v)))
		return ""
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		d.bad(CodeValue, "write a JSON string", "%s: %v", key, err)
	}
	return string(b)
}

// textsKept bounds the table of shared strings; a trace with more distinct users only takes more memory per job.
const textsKept = 1 << 16

func (d *jobDecoder) shared(key string, v jsontext.Value) string {
	s := d.text(key, v)
	if one, ok := d.texts[s]; ok {
		return one
	}
	if len(d.texts) < textsKept {
		d.texts[s] = s
	}
	return s
}

func (d *jobDecoder) list(key string, v jsontext.Value) []string {
	var out []string
	if err := json.Unmarshal(v, &out); err != nil || v.Kind() != '[' {
		d.bad(CodeValue, `write a list of strings such as ["A100"]`, "%s is %s", key, shorten(string(v)))
		return nil
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// jsonMessage says what the JSON library found, without its name and Go's types.
func jsonMessage(err error) string {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("column %d: %v", syntax.ByteOffset+1, syntax.Err)
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		if semantic.Err != nil {
			return fmt.Sprintf("%s: %v", semantic.JSONPointer, semantic.Err)
		}
		return fmt.Sprintf("%s is %s", semantic.JSONPointer, semantic.JSONKind)
	}
	return err.Error()
}
