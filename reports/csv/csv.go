// Package csv writes every table of a run's panels as a CSV file of its own (RFC 4180, UTF-8, "\n" line ends): raw
// numbers at full precision with the unit in the column's name, and an empty field where there is no value.
package csv

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"orrery/reports"
	"orrery/sim/result"
)

// File is one table as a file.
type File struct {
	Name string // <panel>-<table>.csv
	Data []byte
}

// Files returns all tables of a run, in the order of the panels.
func Files(d *result.Data) ([]File, error) { return files(reports.Build(d)) }

func files(sections []reports.Section) ([]File, error) {
	var out []File
	for _, s := range sections {
		for _, t := range s.Tables {
			data, err := encode(t)
			if err != nil {
				return nil, fmt.Errorf("writing table %s of panel %s: %w", t.ID, s.ID, err)
			}
			out = append(out, File{s.ID + "-" + t.ID + ".csv", data})
		}
	}
	return out, nil
}

// Table writes one table that belongs to no panel. It fails only when w does.
func Table(w io.Writer, t reports.Table) error {
	data, err := encode(t)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func encode(t reports.Table) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	record := make([]string, len(t.Columns))
	for k, c := range t.Columns {
		record[k] = c.Key
	}
	if err := w.Write(record); err != nil {
		return nil, err
	}
	for _, r := range t.Rows {
		for k, v := range r {
			record[k] = v.Raw()
		}
		if err := w.Write(record); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// WriteDir writes all tables of a run into the folder dir, whole or not at all: dir must not exist yet or be empty, and
// appears with all its files at once.
func WriteDir(dir string, d *result.Data) error { return writeDir(dir, reports.Build(d)) }

// WriteComparison is WriteDir for the tables of a comparison.
func WriteComparison(dir string, c *reports.Comparison) error { return writeDir(dir, c.Sections) }

func writeDir(dir string, sections []reports.Section) (err error) {
	files, err := files(sections)
	if err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return fmt.Errorf("writing tables to %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(temp) // the first error is the one to report
		}
	}()
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(temp, f.Name), f.Data, 0o644); err != nil {
			return fmt.Errorf("writing tables to %s: %w", dir, err)
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("writing tables to %s: %w", dir, err)
	}
	// Removing succeeds only for an empty folder, so nobody's files are lost; not every system renames onto one.
	if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("writing tables to %s: it exists and is not an empty folder; name a new one", dir)
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("writing tables to %s: %w", dir, err)
	}
	return nil
}
