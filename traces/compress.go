package traces

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// windowMax bounds the memory a zstd stream may ask for; zstd's own -19 --long=26 stays below it.
const windowMax = 64 << 20

// bufferSize is the read-ahead of a trace, and headSize what a format may look at to recognise its files.
const (
	bufferSize = 256 << 10
	headSize   = 64 << 10
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// Decompress returns the plain text of r: unpacked when it starts with the magic of zstd or gzip, without a UTF-8
// byte-order mark. Read errors of a damaged or truncated stream come from the reader. The closer frees the decoder.
func Decompress(r io.Reader) (*bufio.Reader, io.Closer, error) {
	in := bufio.NewReaderSize(r, bufferSize)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	var closer io.Closer = io.NopCloser(nil)
	plain := in
	switch {
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One goroutine and synchronous: a trace is read by one reader, and nothing runs behind its back.
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowMax))
		if err != nil {
			return nil, nil, err
		}
		closer = z.IOReadCloser()
		plain = bufio.NewReaderSize(z, bufferSize)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := kgzip.NewReader(in)
		if err != nil {
			return nil, nil, err
		}
		// Nothing is closed: it would free nothing, and say again what the last read said.
		plain = bufio.NewReaderSize(z, bufferSize)
	}
	if mark, _ := plain.Peek(len(byteOrderMark)); bytes.Equal(mark, byteOrderMark) {
		if _, err := plain.Discard(len(byteOrderMark)); err != nil {
			return nil, nil, err
		}
	}
	return plain, closer, nil
}

// compressor wraps w with the compression that the file name asks for: .zst, .gz, else none. Close ends the stream and
// leaves w open. The bytes depend on the content only.
func compressor(w io.Writer, path string) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(path, ".zst"):
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	case strings.HasSuffix(path, ".gz"):
		return kgzip.NewWriter(w), nil
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// ReadProblem turns an error of the underlying reader into a problem: cut off, damaged, or not readable.
func ReadProblem(file string, line int, err error) Problem {
	p := Problem{File: file, Line: line, Code: CodeIO, Message: "reading failed: " + err.Error(), Fix: "check the file"}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		p.Code, p.Message = CodeTruncated, "the compressed file ends in the middle"
		p.Fix = "get the whole file again"
	case isCorrupt(err):
		p.Code, p.Message = CodeCorrupt, "the compressed file is damaged: "+err.Error()
		p.Fix = "get the file again, and compare its checksum with the publisher's"
	}
	return p
}

// isCorrupt recognises the errors with which the decoders refuse data. Both name their package in every one.
func isCorrupt(err error) bool {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return true
	}
	s := err.Error()
	signs := []string{"gzip", "zstd", "flate", "corrupt", "magic number", "window size", "huff", "fse", "CRC"}
	for _, sign := range signs {
		if strings.Contains(s, sign) {
			return true
		}
	}
	return false
}
