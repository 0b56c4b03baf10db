package csv_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"orrery/reports"
	"orrery/reports/csv"
	"orrery/reports/reportstest"
)

func TestGolden(t *testing.T) {
	files, err := csv.Files(reportstest.Small())
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&all, "== %s\n%s", f.Name, f.Data)
	}
	reportstest.Golden(t, "small.txt", all.Bytes())
}

// TestRoundTrip reads every file back and compares it with the model cell by cell.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(40) {
		d := reportstest.Random(seed)
		files, err := csv.Files(d)
		if err != nil {
			t.Fatal(err)
		}
		next := 0
		for _, s := range reports.Build(d) {
			for _, tab := range s.Tables {
				f := files[next]
				next++
				records, err := stdcsv.NewReader(bytes.NewReader(f.Data)).ReadAll()
				if err != nil || len(records) != len(tab.Rows)+1 || f.Name != s.ID+"-"+tab.ID+".csv" {
					t.Fatalf("%s: %d records for %d rows, %v", f.Name, len(records), len(tab.Rows), err)
				}
				for i, r := range tab.Rows {
					for k, v := range r {
						got, want := records[i+1][k], strings.ReplaceAll(v.Raw(), "\r\n", "\n")
						if got != want {
							t.Errorf("%s row %d %s: %q, want %q", f.Name, i, tab.Columns[k].Key, got, want)
						}
						if _, err := strconv.ParseFloat(got, 64); tab.Columns[k].Right() && got != "" && err != nil {
							t.Errorf("%s row %d %s: %q is no number", f.Name, i, tab.Columns[k].Key, got)
						}
					}
				}
			}
		}
		if next != len(files) {
			t.Errorf("%d files for %d tables", len(files), next)
		}
	}
}

func TestWriteDir(t *testing.T) {
	d := reportstest.Small()
	base := t.TempDir()
	dir := filepath.Join(base, "tables")
	if err := csv.WriteDir(dir, d); err != nil {
		t.Fatal(err)
	}
	files, err := csv.Files(d)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range files {
		got, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil || !bytes.Equal(got, f.Data) {
			t.Errorf("%s: %v, or other bytes", f.Name, err)
		}
		if names[f.Name] || !regexp.MustCompile(`^[a-z-]+\.csv$`).MatchString(f.Name) {
			t.Errorf("file name %q is not unique or not plain", f.Name)
		}
		names[f.Name] = true
	}
	if err := csv.WriteDir(dir, d); err == nil || !strings.Contains(err.Error(), "not an empty folder") {
		t.Errorf("writing over a full folder: %v", err)
	}
	empty := filepath.Join(base, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := csv.WriteDir(empty, d); err != nil {
		t.Errorf("writing to an empty folder: %v", err)
	}
	if err := csv.WriteDir(filepath.Join(base, "no", "such"), d); err == nil {
		t.Error("no error for a folder whose parent does not exist")
	}
	left, err := os.ReadDir(base)
	if err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
