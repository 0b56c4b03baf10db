package requests

import (
	"bufio"
	"bytes"
	"fmt"

	"orrery/traces"
)

// Lines reads a file of which every line is a request.
type Lines struct {
	lines traces.Lines
	file  string
	whole bool
}

// NewLines returns the lines of in; file is for messages.
func NewLines(in *bufio.Reader, file string) Lines {
	return Lines{lines: traces.Lines{In: in}, file: file}
}

// Next reads the next line for row; false at the end. A line that cannot hold a request is a problem of the row.
func (l *Lines) Next(row *Row) (line []byte, more bool, err error) {
	line, l.whole, err = l.lines.Next()
	row.Line = l.lines.Line
	switch {
	case err != nil && isEnd(err):
		return nil, false, nil
	case err != nil:
		return nil, false, one(traces.ReadProblem(l.file, l.lines.Line+1, err))
	case line == nil:
		row.Problems = []traces.Problem{l.lines.TooLong(l.file)}
	case len(bytes.TrimSpace(line)) == 0:
		row.Problems = []traces.Problem{{Code: traces.CodeSyntax, Message: "the line is empty", Fix: "remove it"}}
	}
	return line, true, nil
}

// Whole returns an error when the line read last is bad because the file ends inside it.
func (l *Lines) Whole(line []byte, bad bool) error {
	if l.whole || !bad {
		return nil
	}
	return one(traces.Problem{File: l.file, Line: l.lines.Line, Code: traces.CodeTruncated,
		Message: fmt.Sprintf("the file ends inside a request: %q", traces.Shorten(string(line))),
		Fix:     "get the whole file again"})
}
