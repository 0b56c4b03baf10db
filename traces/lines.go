package traces

import (
	"bufio"
	"fmt"
	"io"
)

// Lines reads the lines of a file.
type Lines struct {
	In   *bufio.Reader
	Line int // number of the last line read, from 1
}

// Next returns the next line without its newline, valid until the next call; whole is false for a last line without
// newline. A line that does not fit the buffer is read over and returned as nil. After the last line the error is
// io.EOF.
func (l *Lines) Next() (line []byte, whole bool, err error) {
	line, err = l.In.ReadSlice('\n')
	l.Line++
	switch {
	case err == nil:
		return line[:len(line)-1], true, nil
	case err == bufio.ErrBufferFull:
		for err == bufio.ErrBufferFull {
			_, err = l.In.ReadSlice('\n')
		}
		if err == io.EOF {
			err = nil
		}
		return nil, true, err
	case err == io.EOF && len(line) > 0:
		return line, false, nil
	}
	l.Line--
	return nil, false, err
}

// TooLong is the problem with the line read last when it did not fit.
func (l *Lines) TooLong(file string) Problem {
	return Problem{File: file, Line: l.Line, Code: CodeSyntax,
		Message: fmt.Sprintf("the line is longer than %d KiB", l.In.Size()>>10), Fix: "write one record per line"}
}
