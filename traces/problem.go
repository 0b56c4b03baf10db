package traces

import (
	"errors"
	"fmt"
	"strings"
)

// Codes of problems. They are stable: scripts may match on them.
const (
	CodeEmpty     = "empty"        // nothing in the file
	CodeHeader    = "header"       // header line missing or wrong
	CodeSyntax    = "syntax"       // the line is not what the format's grammar allows
	CodeTruncated = "truncated"    // the file ends before it should
	CodeCorrupt   = "corrupt"      // compressed data damaged
	CodeUnknown   = "unknown"      // a field, option or format that does not exist
	CodeMissing   = "missing"      // a required field or column is absent
	CodeValue     = "value"        // a value out of its range or of the wrong type
	CodeDuplicate = "duplicate-id" // a job id seen before
	CodeOrder     = "order"        // submission time before that of the preceding line
	CodeFormat    = "format"       // the file's format cannot be told
	CodeIO        = "io"           // reading or writing failed
)

// problemsKept bounds the memory that problems of a hopeless file may take; problemsShown bounds what is printed.
const (
	problemsKept  = 1000
	problemsShown = 20
)

// Problem is one thing wrong with user input: where, what, and what to write instead.
type Problem struct {
	File    string // as the user named it; "" when the input is no file
	Line    int    // 1-based; 0 when the whole file is meant
	Path    string // field inside a structured document, e.g. "classes[2].duration.max"; "" for lines of a trace
	Code    string // one of the Code constants
	Message string // what is wrong, with the value
	Fix     string // what to do about it
}

// Error formats the problem as "file:line: path: message [code]; fix".
func (p Problem) Error() string {
	var b strings.Builder
	switch {
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	case p.File != "":
		fmt.Fprintf(&b, "%s: ", p.File)
	case p.Line > 0:
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	fmt.Fprintf(&b, "%s [%s]", p.Message, p.Code)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Errors is everything found wrong with one input. The zero value is an empty list, ready for Add.
type Errors struct {
	Problems []Problem // in the order found; at most the first 1,000
	Count    int       // all problems, kept or not
}

// Add appends a problem, or only counts it when enough are kept.
func (e *Errors) Add(p Problem) {
	e.Count++
	if len(e.Problems) < problemsKept {
		e.Problems = append(e.Problems, p)
	}
}

// Merge appends the problems of err: all of them when err is an *Errors or a Problem, else one problem of code
// CodeIO. A nil err adds nothing.
func (e *Errors) Merge(err error) {
	var list *Errors
	var one Problem
	switch {
	case err == nil:
	case errors.As(err, &list):
		dropped := list.Count - len(list.Problems)
		for _, p := range list.Problems {
			e.Add(p)
		}
		e.Count += dropped
	case errors.As(err, &one):
		e.Add(one)
	default:
		e.Add(Problem{Code: CodeIO, Message: err.Error()})
	}
}

// Err returns e as an error, or nil when there is no problem.
func (e *Errors) Err() error {
	if e.Count == 0 {
		return nil
	}
	return e
}

// Error lists the first 20 problems, one a line, and says how many more there are.
func (e *Errors) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == problemsShown {
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
	}
	if rest := e.Count - min(len(e.Problems), problemsShown); rest > 0 {
		fmt.Fprintf(&b, "\nand %d more problems (%d in all)", rest, e.Count)
	}
	return b.String()
}

// Unwrap lets errors.As and errors.Is look at the single problems.
func (e *Errors) Unwrap() []error {
	out := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		out[i] = p
	}
	return out
}
