package traces

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Validate reads the whole trace and returns nil when nothing is wrong with it, else an *Errors with every problem.
func Validate(path string, opts Options) error {
	src, err := Open(path, opts)
	if err != nil {
		return err
	}
	if _, _, err = count(src); err != nil {
		return alsoClose(err, src)
	}
	return src.Close()
}

// count reads src to its end.
func count(src Source) (Header, int64, error) {
	var n int64
	for {
		_, err := src.Next()
		if err == io.EOF {
			return src.Header(), n, nil
		}
		if err != nil {
			return Header{}, n, err
		}
		n++
	}
}

// ConvertOptions say how to read the input and what may happen to the output.
type ConvertOptions struct {
	Options
	Overwrite bool // replace an existing output
}

// Converted says what was written.
type Converted struct {
	Header Header
	Jobs   int64
}

// Convert reads the trace at in, of any format, and writes it to out as a canonical trace, compressed as out's name
// says (.zst, .gz, or plain). Out appears whole or not at all. The header of a converted trace always has the number of
// jobs and the skipped rows, for which a streaming input is read twice.
func Convert(in, out string, opts ConvertOptions) (Converted, error) {
	if err := MayWrite(out, opts.Overwrite); err != nil {
		return Converted{}, err
	}
	src, err := Open(in, opts.Options)
	if err != nil {
		return Converted{}, err
	}
	header := src.Header()
	if header.Jobs == 0 {
		var n int64
		header, n, err = count(src)
		if err == nil {
			header.Jobs = n
			err = src.Close()
		}
		if err != nil {
			return Converted{}, alsoClose(err, src)
		}
		if src, err = Open(in, opts.Options); err != nil {
			return Converted{}, err
		}
	}
	n, err := WriteFile(out, header, src, opts.Overwrite)
	if err != nil {
		return Converted{}, alsoClose(err, src)
	}
	return Converted{header, n}, src.Close()
}

// WriteFile writes the jobs of src under the header h to the file path, whole or not at all, compressed as the name
// says. It returns the number of jobs and does not close src.
func WriteFile(path string, h Header, src Source, overwrite bool) (int64, error) {
	var n int64
	err := WriteWhole(path, overwrite, func(out io.Writer) error {
		w, err := NewWriter(out, h)
		if err != nil {
			return err
		}
		for {
			j, err := src.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if err := w.Write(j); err != nil {
				return fmt.Errorf("writing %s: %w", path, err)
			}
		}
		n = w.Jobs()
		return w.Close()
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// WriteWhole writes a file, whole or not at all, compressed as the name says (.zst, .gz, or plain). Without overwrite
// the file must not exist.
func WriteWhole(path string, overwrite bool, write func(io.Writer) error) error {
	if err := MayWrite(path, overwrite); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return cannotWrite(path, err)
	}
	err = fill(tmp, path, write)
	if also := tmp.Close(); err == nil && also != nil {
		err = cannotWrite(path, also)
	}
	if err == nil {
		err = publish(tmp.Name(), path, overwrite)
	}
	if err != nil {
		if also := os.Remove(tmp.Name()); also != nil && !errors.Is(also, fs.ErrNotExist) {
			err = errors.Join(err, also)
		}
	}
	return err
}

func fill(f *os.File, path string, write func(io.Writer) error) error {
	pack, err := compressor(f, path)
	if err != nil {
		return err
	}
	if err := write(pack); err != nil {
		return err
	}
	if err := pack.Close(); err != nil {
		return cannotWrite(path, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return cannotWrite(path, err)
	}
	if err := f.Sync(); err != nil {
		return cannotWrite(path, err)
	}
	return nil
}

// publish gives the finished file its name. Without overwrite it takes the name only when nobody has it, even when
// somebody took it meanwhile: a hard link fails where a rename would replace.
func publish(tmp, path string, overwrite bool) error {
	if !overwrite {
		err := os.Link(tmp, path)
		if err == nil {
			return os.Remove(tmp)
		}
		if errors.Is(err, fs.ErrExist) {
			return exists(path)
		}
		// No hard links on this file system: the check below has a gap, but is all that is left.
		if err := MayWrite(path, false); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return cannotWrite(path, err)
	}
	return nil
}

// MayWrite says whether a file may be written: it must not exist, or be a regular file that may be replaced. The error
// is an *Errors.
func MayWrite(path string, overwrite bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return cannotWrite(path, err)
	case !info.Mode().IsRegular():
		return failed(Problem{File: path, Code: CodeIO, Message: "the output exists and is no regular file",
			Fix: "name another output"})
	case !overwrite:
		return exists(path)
	}
	return nil
}

func exists(path string) error {
	return failed(Problem{File: path, Code: CodeIO, Message: "the output exists",
		Fix: "name another output, or say that it may be overwritten"})
}

func cannotWrite(path string, err error) error {
	return failed(Problem{File: path, Code: CodeIO, Message: "cannot be written: " + err.Error(),
		Fix: "name an output in a folder that may be written"})
}
