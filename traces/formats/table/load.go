package table

import (
	"fmt"
	"slices"
	"time"

	"orrery/sim/units"
	"orrery/traces"
)

// Shortest is the length given to a job whose source says 0: the sources' clocks tick in seconds, so 0 means shorter
// than that, while a Job with Run 0 and no outcome would stay forever. It is one tick of simulated time.
const Shortest = units.Tick

// Batch collects the jobs of one file: it checks them, refuses an id that comes twice, and orders them by time.
type Batch struct {
	table    *Table
	calendar bool
	jobs     []traces.Job
	ids      map[string]int // id → line
	notes    []note
}

type note struct {
	text string
	rows int64
}

// NewBatch returns an empty batch of the rows of t, whose jobs have Submit since the trace's own time zero.
func NewBatch(t *Table) *Batch { return &Batch{table: t, ids: map[string]int{}} }

// NewCalendarBatch is NewBatch for jobs with Submit since the Unix epoch. The source counts from the earliest of them
// and names that instant in the header.
func NewCalendarBatch(t *Table) *Batch {
	return &Batch{table: t, calendar: true, ids: map[string]int{}}
}

// SinceEpoch returns the Submit of a job of a calendar batch.
func SinceEpoch(at time.Time) time.Duration { return time.Duration(at.UnixNano()) }

// Note counts a row for which something was assumed or changed. Notes end in the header as "text (n rows)".
func (b *Batch) Note(text string) {
	for i := range b.notes {
		if b.notes[i].text == text {
			b.notes[i].rows++
			return
		}
	}
	b.notes = append(b.notes, note{text, 1})
}

// Add takes the job of the current row unless the row is bad.
func (b *Batch) Add(j traces.Job) {
	t := b.table
	if len(t.row) == 0 {
		if first, twice := b.ids[j.ID]; twice {
			t.Fail(traces.CodeDuplicate, "give every job its own id", "job id %q was used in line %d", cut(j.ID), first)
		}
		checked := j
		if b.calendar {
			checked.Submit = 0
		}
		t.row = append(t.row, checked.Check()...)
	}
	if t.Bad() {
		return
	}
	b.ids[j.ID] = t.line
	b.jobs = append(b.jobs, j)
}

// Run returns the length d of a job whose outcome may be unknown, never 0.
func (b *Batch) Run(d time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	b.Note("length 0 in the source taken as " + Shortest.String())
	return Shortest
}

// Source returns the jobs as a source under header h, completed with what was skipped and noted.
func (b *Batch) Source(h traces.Header) (traces.Source, error) {
	skipped, notes, err := b.table.Finish()
	if err != nil {
		return nil, err
	}
	h.Skipped = skipped
	h.Notes = slices.Concat(h.Notes, notes)
	for _, n := range b.notes {
		h.Notes = append(h.Notes, fmt.Sprintf("%s (%d rows)", n.text, n.rows))
	}
	if b.calendar {
		return FromCalendar(h, b.table.path, b.jobs)
	}
	return traces.FromJobs(h, b.jobs), nil
}

// FromCalendar returns a source over jobs with Submit since the Unix epoch: the earliest submission becomes the time
// zero, which the header names. path is for messages. It takes jobs over.
func FromCalendar(h traces.Header, path string, jobs []traces.Job) (traces.Source, error) {
	if len(jobs) == 0 {
		return traces.FromJobs(h, nil), nil
	}
	first, last := jobs[0].Submit, jobs[0].Submit
	for _, j := range jobs {
		first, last = min(first, j.Submit), max(last, j.Submit)
	}
	if last-first > traces.MaxTime {
		return nil, &traces.Errors{Count: 1, Problems: []traces.Problem{{File: path, Code: traces.CodeValue,
			Message: fmt.Sprintf("submissions range over %.0f years", (last-first).Hours()/8766),
			Fix:     "correct the submission times; a trace spans at most 100 years"}}}
	}
	for i := range jobs {
		jobs[i].Submit -= first
	}
	h.TimeZero = time.Unix(0, int64(first)).UTC().Format(time.RFC3339Nano)
	return traces.FromJobs(h, jobs), nil
}

// Outcome maps a Slurm job state to an outcome. TIMEOUT and NODE_FAIL are failures, as the Helios and Acme datasets
// count them in their own notes. An absent state is unknown.
func (t *Table) Outcome(column string) string {
	state := t.Text(column)
	switch state {
	case "COMPLETED":
		return traces.Succeeded
	case "FAILED", "TIMEOUT", "NODE_FAIL":
		return traces.Failed
	case "CANCELLED":
		return traces.Killed
	}
	if !IsMissing(state) {
		t.Fail(traces.CodeValue, "write COMPLETED, FAILED, CANCELLED, TIMEOUT, NODE_FAIL, or leave it empty", "%s is %q",
			column, cut(state))
	}
	return traces.Unknown
}
