// Package table reads the CSV files that public job traces come in, strictly: columns by name, every value checked,
// every problem with its file and line. Importers describe columns and turn rows into jobs; the rest is here.
package table

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"orrery/traces"
)

// Columns says which columns a file has. A file may have them in any order.
type Columns struct {
	Required []string
	Optional []string // used when there
	Unused   []string // known, and of no use here
}

// Table reads the rows of one file.
type Table struct {
	path     string
	skipBad  bool
	csv      *csv.Reader
	index    map[string]int
	fields   []string
	line     int
	rows     int64
	texts    map[string]string
	row      []traces.Problem // of the current row
	errs     traces.Errors
	skips    traces.Skips
	unknown  []string
	fatalErr error
}

// Open reads the header line. The error is an *traces.Errors.
func Open(in traces.Input, cols Columns) (*Table, error) {
	t := &Table{path: in.Path, skipBad: in.SkipBad, csv: csv.NewReader(in.Reader), index: map[string]int{},
		texts: map[string]string{}}
	t.csv.FieldsPerRecord = -1
	t.csv.ReuseRecord = true
	head, err := t.csv.Read()
	if err == io.EOF {
		return nil, t.fail(traces.Problem{Code: traces.CodeEmpty, Message: "the file is empty",
			Fix: "get the file again; it starts with a line of column names"})
	}
	if err != nil {
		return nil, t.fail(t.readProblem(err))
	}
	t.line = 1
	known := slices.Concat(cols.Required, cols.Optional, cols.Unused)
	for i, name := range head {
		name = strings.Clone(strings.TrimSpace(name))
		if _, twice := t.index[name]; twice {
			t.errs.Add(t.at(traces.Problem{Code: traces.CodeHeader, Message: fmt.Sprintf("column %q is there twice", name),
				Fix: "remove one of them"}))
		}
		t.index[name] = i
		if !slices.Contains(known, name) {
			t.unknown = append(t.unknown, strconv.Quote(name))
		}
	}
	for _, name := range cols.Required {
		if _, ok := t.index[name]; !ok {
			t.errs.Add(t.at(traces.Problem{Code: traces.CodeMissing, Message: fmt.Sprintf("column %q is missing", name),
				Fix: "needed: " + strings.Join(cols.Required, ",")}))
		}
	}
	return t, t.errs.Err()
}

// Has says whether the file has a column.
func (t *Table) Has(column string) bool {
	_, ok := t.index[column]
	return ok
}

// Rows returns the number of rows read so far, bad ones included, empty lines not.
func (t *Table) Rows() int64 { return t.rows }

// Where returns file:line of the current row.
func (t *Table) Where() string { return fmt.Sprintf("%s:%d", t.path, t.line) }

// Next moves to the next row; false at the end or when reading failed, which Finish reports. Rows that are no rows of
// this table are counted as bad.
func (t *Table) Next() bool {
	for t.Step() {
		if !t.Bad() {
			return true
		}
	}
	return false
}

// Step moves to the next row, good or not; false at the end or when reading failed, which Finish reports. From a row
// with Problems no value may be taken.
func (t *Table) Step() bool {
	if t.fatalErr != nil {
		return false
	}
	fields, err := t.csv.Read()
	t.row = t.row[:0]
	if err == io.EOF {
		return false
	}
	var parse *csv.ParseError
	if err != nil && !errors.As(err, &parse) {
		t.line++
		t.fatalErr = t.fail(t.readProblem(err))
		return false
	}
	t.rows++
	if err != nil {
		t.line = parse.StartLine
		t.row = append(t.row, t.readProblem(err))
		return true
	}
	t.line, _ = t.csv.FieldPos(0)
	if len(fields) != len(t.index) {
		t.Fail(traces.CodeSyntax, fmt.Sprintf("write %d values, or get the whole file again", len(t.index)),
			"the row has %d values, the header %d", len(fields), len(t.index))
	}
	t.fields = fields
	return true
}

// Problems returns what is wrong with the current row so far, without file and line; valid until the next row.
func (t *Table) Problems() []traces.Problem { return t.row }

// Line returns the line of the current row.
func (t *Table) Line() int { return t.line }

// Bad says whether the current row has problems, and counts the row as bad if so. Call it once a row, after its last
// value was taken.
func (t *Table) Bad() bool {
	if len(t.row) == 0 {
		return false
	}
	if t.skipBad {
		t.skips.Add("malformed: "+t.row[0].Code, t.Where())
		return true
	}
	for _, p := range t.row {
		t.errs.Add(t.at(p))
	}
	return true
}

// Skip counts the current row as left out on purpose.
func (t *Table) Skip(reason string) { t.skips.Add(reason, t.Where()) }

// Fail records a problem with the current row.
func (t *Table) Fail(code, fix, format string, args ...any) {
	t.row = append(t.row, traces.Problem{Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// Finish returns every problem met, as *traces.Errors, or nil; the rows left out; and the columns nobody knows.
func (t *Table) Finish() (skipped []traces.Skip, notes []string, err error) {
	t.errs.Merge(t.fatalErr)
	if len(t.unknown) > 0 {
		notes = append(notes, "columns not used because they are unknown: "+strings.Join(t.unknown, ", "))
	}
	return t.skips.After(nil), notes, t.errs.Err()
}

// Text returns a value without surrounding space; "" when the file has no such column.
func (t *Table) Text(column string) string {
	i, ok := t.index[column]
	if !ok {
		return ""
	}
	s := strings.TrimSpace(t.fields[i])
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		t.Fail(traces.CodeValue, "write plain UTF-8 text", "%s %q has control characters or is not valid UTF-8", column,
			cut(s))
	}
	return s
}

// Word is Text for values that repeat: equal values share memory.
func (t *Table) Word(column string) string {
	s := t.Text(column)
	if w, ok := t.texts[s]; ok {
		return w
	}
	s = strings.Clone(s)
	t.texts[s] = s
	return s
}

// ID is Text that must not be empty, and does not keep the row in memory.
func (t *Table) ID(column string) string {
	s := strings.Clone(t.Text(column))
	if s == "" {
		t.Fail(traces.CodeValue, "give every job an id", "%s is empty", column)
	}
	return s
}

// Int returns a whole number from 0 to most. Numbers written with a zero fraction ("8.0") count as whole.
func (t *Table) Int(column string, most int64) int64 {
	s := t.Text(column)
	whole, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.Trim(frac, "0") != "" || n < 0 || n > most {
		t.Fail(traces.CodeValue, fmt.Sprintf("write a whole number from 0 to %d", most), "%s is %q", column, cut(s))
		return 0
	}
	return n
}

// Seconds returns a length of time given in seconds, to the nanosecond; exponents are accepted.
func (t *Table) Seconds(column string) time.Duration {
	s := t.Text(column)
	if d, err := traces.ParseSeconds(s); err == nil {
		return d
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > traces.MaxTime.Seconds() {
		t.Fail(traces.CodeValue, "write seconds from 0 to 3155760000 (100 years)", "%s is %q", column, cut(s))
		return 0
	}
	return time.Duration(math.Round(f * 1e9))
}

// Number returns a number from 0 to most.
func (t *Table) Number(column string, most float64) float64 {
	s := t.Text(column)
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > most {
		t.Fail(traces.CodeValue, fmt.Sprintf("write a number from 0 to %g", most), "%s is %q", column, cut(s))
		return 0
	}
	return f
}

// Missing says whether a value is absent: empty, or one of the words that data frames write for it.
func (t *Table) Missing(column string) bool { return IsMissing(t.Text(column)) }

// IsMissing says whether a text stands for an absent value.
func IsMissing(s string) bool {
	switch s {
	case "", "None", "NaN", "nan", "NaT", "null", "NULL", "Unknown":
		return true
	}
	return false
}

// Instant returns a point in calendar time. Texts without zone are read as UTC.
func (t *Table) Instant(column string) time.Time {
	s := t.Text(column)
	at, err := ParseInstant(s)
	if err != nil {
		t.Fail(traces.CodeValue, "write a time like 2020-06-09 18:41:01", "%s is %q", column, cut(s))
	}
	return at
}

// layouts of calendar time in the datasets, the commonest first.
var layouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339}

// ParseInstant reads "2006-01-02 15:04:05" with optional fraction and zone, from 1970 to 2199; no zone is UTC.
func ParseInstant(s string) (time.Time, error) {
	var err error
	for _, layout := range layouts {
		var at time.Time
		if at, err = time.Parse(layout, s); err == nil {
			if at.Year() < 1970 || at.Year() > 2199 {
				return time.Time{}, fmt.Errorf("year %d", at.Year())
			}
			return at.UTC(), nil
		}
	}
	return time.Time{}, err
}

func (t *Table) at(p traces.Problem) traces.Problem {
	p.File, p.Line = t.path, max(t.line, 1)
	return p
}

func (t *Table) fail(p traces.Problem) error {
	if p.File == "" {
		p = t.at(p)
	}
	return &traces.Errors{Problems: []traces.Problem{p}, Count: 1}
}

func (t *Table) readProblem(err error) traces.Problem {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return traces.Problem{Code: traces.CodeSyntax, Message: "not CSV: " + parse.Err.Error(),
			Fix: `put values with quotes or commas in quotes, and double quotes inside`}
	}
	return traces.ReadProblem(t.path, t.line, err)
}

func cut(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
