package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"orrery/reports"
	"orrery/reports/csv"
	"orrery/reports/html"
	reportjson "orrery/reports/json"
	reportterm "orrery/reports/term"
)

// compare puts several results side by side.
func compare(c *cobra.Command, dirs, sets []string, format, out string) error {
	switch {
	case !slices.Contains([]string{"term", "html", "csv", "json"}, format):
		return usageError{fmt.Errorf("--format %q: choose term, html, csv or json", format)}
	case out == "" && (format == "html" || format == "csv"):
		return usageError{fmt.Errorf("--format %s of several results: name what to write with --out", format)}
	case len(dirs) > reports.RunsMax:
		return usageError{fmt.Errorf("%d results: at most %d can be told apart in a chart", len(dirs), reports.RunsMax)}
	}
	names := runNames(dirs)
	var runs []reports.Run
	var wrong []error
	for i, dir := range dirs {
		data, err := refold(dir, sets)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		runs = append(runs, reports.Run{Name: names[i], Data: data})
	}
	if len(wrong) > 0 {
		return usageError{errors.Join(wrong...)}
	}
	side, err := reports.Compare(runs)
	if err != nil {
		return usageError{err}
	}
	switch format {
	case "html":
		if err := to(c, out, func(w io.Writer) error { return html.RenderComparison(w, side) }); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), out)
		return nil
	case "csv":
		if err := newFolder(out); err != nil {
			return err
		}
		return csv.WriteComparison(out, side)
	case "json":
		return to(c, out, func(w io.Writer) error { return reportjson.RenderComparison(w, side) })
	}
	return to(c, out, func(w io.Writer) error {
		return reportterm.RenderComparison(w, side, reportterm.Options{Width: width(w)})
	})
}

// runNames are the last parts of the folders' paths, or the whole paths where two of those are the same.
func runNames(dirs []string) []string {
	out := make([]string, len(dirs))
	for i, dir := range dirs {
		dir = filepath.Clean(dir)
		out[i] = filepath.Base(dir)
		for k, other := range dirs {
			if k != i && filepath.Base(filepath.Clean(other)) == out[i] {
				out[i] = dir
				break
			}
		}
	}
	return out
}
