package phillyjson

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"orrery/traces"
	"orrery/traces/formats/table"
)

// importer collects the jobs of one log.
type importer struct {
	path     string
	skipBad  bool
	snapshot time.Time // zero: not known yet
	latest   time.Time // latest instant seen
	jobs     []traces.Job
	open     []openJob // jobs still running at the snapshot
	ids      map[string]int
	texts    map[string]string
	errs     traces.Errors
	skips    traces.Skips
	noWait   int
}

// openJob is a job whose last attempt has no end.
type openJob struct {
	index int // in jobs
	line  int
	start time.Time
}

// fatal records an error after which nothing more can be read.
func (im *importer) fatal(line int, err error) {
	p := traces.ReadProblem(im.path, line, err)
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		p.Code, p.Message = traces.CodeTruncated, "the file ends inside its JSON array"
		p.Fix = "get the whole file again"
	case errors.As(err, &syntax):
		p.Code, p.Message, p.Fix = traces.CodeSyntax, "not JSON: "+syntax.Err.Error(), "get the file again"
	case p.Code == traces.CodeIO:
		p.Code, p.Message, p.Fix = traces.CodeSyntax, err.Error(), "the log is one JSON array of jobs"
	}
	im.errs.Add(p)
}

// add converts one element of the log.
func (im *importer) add(raw jsontext.Value, line int) {
	var r record
	var problems []traces.Problem
	bad := func(code, fix, format string, args ...any) {
		problems = append(problems, traces.Problem{File: im.path, Line: line, Code: code, Fix: fix,
			Message: fmt.Sprintf(format, args...)})
	}
	if err := json.Unmarshal(raw, &r, json.RejectUnknownMembers(true)); err != nil {
		bad(traces.CodeSyntax, "keys: status, vc, jobid, attempts, submitted_time, user", "%s", cause(err))
	} else if first, twice := im.ids[r.JobID]; twice {
		bad(traces.CodeDuplicate, "give every job its own jobid", "jobid %.60q was used in line %d", r.JobID, first)
	}
	var j traces.Job
	var running time.Time
	if len(problems) == 0 {
		j, running = im.job(r, bad)
		checked := j
		checked.Submit = 0
		for _, p := range checked.Check() {
			bad(p.Code, p.Fix, "%s", p.Message)
		}
	}
	switch where := fmt.Sprintf("%s:%d", im.path, line); {
	case len(problems) > 0 && im.skipBad:
		im.skips.Add("malformed: "+problems[0].Code, where)
	case len(problems) > 0:
		for _, p := range problems {
			im.errs.Add(p)
		}
	case j.GPUs == 0:
		im.ids[j.ID] = line
		im.skips.Add("no attempt that lists GPUs: the number of GPUs is unknown", where)
	default:
		im.ids[j.ID] = line
		if !running.IsZero() {
			im.open = append(im.open, openJob{len(im.jobs), line, running})
		}
		im.jobs = append(im.jobs, j)
	}
}

// job converts a record. running is the start of an attempt that had not ended at the snapshot, else zero.
func (im *importer) job(r record, bad func(code, fix, format string, args ...any)) (j traces.Job, running time.Time) {
	j = traces.Job{ID: r.JobID, Tenant: im.word(r.VC), ObservedWait: traces.WaitUnknown}
	if r.User != nil {
		j.User = im.word(*r.User)
	}
	switch r.Status {
	case "Pass":
		j.Outcome = traces.Succeeded
	case "Failed":
		j.Outcome = traces.Failed
	case "Killed":
		j.Outcome = traces.Killed
	default:
		bad(traces.CodeValue, "write Pass, Killed or Failed", "status is %.60q", r.Status)
	}
	if r.Submitted.IsZero() {
		bad(traces.CodeMissing, "write submitted_time as YYYY-MM-DD HH:MM:SS", "submitted_time is missing")
		return j, running
	}
	j.Submit = table.SinceEpoch(r.Submitted.Time)
	im.see(r.Submitted.Time)
	started := false
	for i, a := range r.Attempts {
		if gpus := a.gpus(); gpus > 0 {
			j.GPUs, j.GPUMilli = gpus, 1000
		}
		im.see(a.Start.Time)
		im.see(a.End.Time)
		if a.Start.IsZero() {
			continue
		}
		if !started {
			started = true
			im.wait(&j, a.Start.Sub(r.Submitted.Time))
		}
		end := a.End.Time
		if end.IsZero() {
			if end = nextStart(r.Attempts[i+1:]); end.IsZero() {
				running, j.Outcome = a.Start.Time, traces.Unknown
				continue
			}
		}
		if end.Before(a.Start.Time) {
			bad(traces.CodeValue, "correct start_time or end_time", "attempt %d ends at %s, before its start %s", i+1,
				end.Format(time.DateTime), a.Start.Format(time.DateTime))
			continue
		}
		j.Run += end.Sub(a.Start.Time)
	}
	if j.Run == 0 && running.IsZero() {
		j.Run = table.Shortest
	}
	return j, running
}

func (a attempt) gpus() int {
	n := 0
	for _, d := range a.Detail {
		n += len(d.GPUs)
	}
	return n
}

// nextStart returns the start of the first attempt that has one.
func nextStart(rest []attempt) time.Time {
	for _, a := range rest {
		if !a.Start.IsZero() {
			return a.Start.Time
		}
	}
	return time.Time{}
}

// wait sets the observed wait. The machines' clocks differ: a start before the submission tells nothing.
func (im *importer) wait(j *traces.Job, wait time.Duration) {
	if wait < 0 {
		im.noWait++
		return
	}
	j.ObservedWait = wait
}

func (im *importer) see(at time.Time) {
	if at.After(im.latest) {
		im.latest = at
	}
}

func (im *importer) word(s string) string {
	if w, ok := im.texts[s]; ok {
		return w
	}
	im.texts[s] = s
	return s
}

// source ends the import.
func (im *importer) source(h traces.Header) (traces.Source, error) {
	snapshot := im.snapshot
	if snapshot.IsZero() {
		snapshot = im.latest
	}
	for _, o := range im.open {
		run := snapshot.Sub(o.start)
		if run < 0 {
			im.errs.Add(traces.Problem{File: im.path, Line: o.line, Code: traces.CodeValue,
				Message: fmt.Sprintf("the job starts at %s, after the snapshot", o.start.Format(time.DateTime)),
				Fix:     "set a later snapshot"})
		}
		im.jobs[o.index].Run = max(im.jobs[o.index].Run+run, table.Shortest)
	}
	if err := im.errs.Err(); err != nil {
		return nil, err
	}
	if n := len(im.open); n > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("running at the snapshot, run counted until %s, outcome unknown (%d jobs)",
			snapshot.Format(time.DateTime), n))
	}
	if im.noWait > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("first attempt before the submission, wait taken as unknown (%d jobs)",
			im.noWait))
	}
	h.Skipped = im.skips.After(nil)
	return table.FromCalendar(h, im.path, im.jobs)
}

// cause says what the JSON library found, without Go's types.
func cause(err error) string {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		if semantic.Err != nil {
			return fmt.Sprintf("%s: %v", semantic.JSONPointer, semantic.Err)
		}
		return fmt.Sprintf("%s is %s", semantic.JSONPointer, semantic.JSONKind)
	}
	return err.Error()
}
