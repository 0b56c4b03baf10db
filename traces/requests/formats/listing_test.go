package formats_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"orrery/traces/requests/formats"
)

const (
	tableStart = "<!-- request formats: written by go test ./traces/requests/formats -run TestReadme with ORRERY_REWRITE=1 -->\n"
	tableEnd   = "<!-- end of request formats -->"
)

// TestReadme holds the table of request formats in traces/README.md to the list.
func TestReadme(t *testing.T) {
	const path = "../../README.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), tableStart)
	table, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatal("the README has lost the marks around its table of request formats")
	}
	if table == formats.Table() {
		return
	}
	if os.Getenv("ORRERY_REWRITE") == "" {
		t.Fatalf("the README's table of request formats is stale; set ORRERY_REWRITE=1 to write\n%s", formats.Table())
	}
	if err := os.WriteFile(path, []byte(before+tableStart+formats.Table()+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestListSorted(t *testing.T) {
	var names []string
	for _, f := range formats.All() {
		names = append(names, f.Info().Name)
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Error(names)
	}
}
