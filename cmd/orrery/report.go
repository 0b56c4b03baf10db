package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"orrery/reports/csv"
	"orrery/reports/html"
	reportjson "orrery/reports/json"
	reportterm "orrery/reports/term"
	"orrery/scenarios"
	"orrery/sim"
	"orrery/sim/result"
)

func newReport() *cobra.Command {
	var format, out string
	var sets []string
	c := &cobra.Command{
		Use:   "report RESULT_DIR...",
		Short: "Render a result again, or several side by side, without simulating again",
		Long: `Folds the journal of a finished run again and renders it. With --set the run is priced anew, e.g. --set pricing.basis=spot.
With --format html and no --out the result's own report.html is replaced; csv needs a folder in --out.

Several results are put side by side: what users felt, what it took and cost, replicas and latencies over each other,
and which settings differ. With html name the file in --out; a name that ends in .html is enough.`,
		Example: `  orrery report out/demo
  orrery report out/demo --format html --out report.html
  orrery report out/demo --format json | jq '.panels[].id'
  orrery report out/demo --set pricing.basis=spot
  orrery report out/burst-fixed out/burst-hpa-queue out/burst-keda --out compare.html`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.HasSuffix(out, ".html") && !c.Flags().Changed("format") {
				format = "html"
			}
			if len(args) > 1 {
				return compare(c, args, sets, format, out)
			}
			data, err := refold(args[0], sets)
			if err != nil {
				return err
			}
			return render(c, data, args[0], format, out)
		},
	}
	c.Flags().StringVar(&format, "format", "term", "term, html, csv or json")
	c.Flags().StringVar(&out, "out", "", "file (folder for csv) to write; stdout when empty")
	c.Flags().StringArrayVar(&sets, "set", nil,
		"override of the scenario's pricing, report or expect block as path=value; repeatable")
	return c
}

// refold makes the account of a result folder again under its own scenario.
func refold(dir string, sets []string) (*result.Data, error) {
	if _, err := result.Open(dir); err != nil {
		return nil, usageError{err}
	}
	for _, set := range sets {
		if strings.Contains(set, "=") && !refoldable.MatchString(set) {
			return nil, usageError{fmt.Errorf("--set %s: would change the run itself; simulate again with `orrery run %s --set %s`",
				set, filepath.Join(dir, result.ScenarioFile), set)}
		}
	}
	s, err := scenarios.Reload(filepath.Join(dir, result.ScenarioFile), sets)
	if err != nil {
		return nil, usageError{err}
	}
	p, err := s.Outline()
	if err != nil {
		return nil, usageError{err}
	}
	data, err := sim.Refold(dir, p, s.Book())
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", dir, err)}
	}
	return data, nil
}

// refoldable matches overrides that leave the journal as it is.
var refoldable = regexp.MustCompile(
	`^\s*(pricing|report|expect|description|cluster\.pools(\.[^.\[]+|\[[^\]]*\])\.price)(\.|\[|\s*=)`)

func render(c *cobra.Command, data *result.Data, dir, format, out string) error {
	switch format {
	case "term":
		return to(c, out, func(w io.Writer) error {
			return reportterm.Render(w, data, reportterm.Options{Width: width(w)})
		})
	case "json":
		return to(c, out, func(w io.Writer) error { return reportjson.Render(w, data) })
	case "html":
		if out == "" {
			out = filepath.Join(dir, result.ReportFile)
		}
		if err := to(c, out, func(w io.Writer) error { return html.Render(w, data) }); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), out)
		return nil
	case "csv":
		if out == "" {
			return usageError{fmt.Errorf("--format csv writes one file a table: name a folder with --out")}
		}
		if err := newFolder(out); err != nil {
			return err
		}
		return csv.WriteDir(out, data)
	}
	return usageError{fmt.Errorf("--format %q: choose term, html, csv or json", format)}
}

// newFolder refuses what exists and is not an empty folder.
func newFolder(out string) error {
	if names, err := os.ReadDir(out); err == nil && len(names) > 0 || errors.Is(err, syscall.ENOTDIR) {
		return usageError{fmt.Errorf("--out %s exists: name a new folder", out)}
	}
	return nil
}

// to writes to stdout, or to a file that appears whole or not at all.
func to(c *cobra.Command, path string, write func(io.Writer) error) error {
	if path == "" {
		return write(c.OutOrStdout())
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usageError{fmt.Errorf("--out %s is a folder: name a file in it", path)}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".partial-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// width is the terminal's width, or 0 when w is none.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}
