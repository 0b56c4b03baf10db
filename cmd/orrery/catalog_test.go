package main

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"orrery/reports"
	"orrery/sim/catalog"
)

// TestCatalogVerbs runs testdata/catalog: each command's line is that of the program, and its input a catalogue file
// called mine.yaml.
func TestCatalogVerbs(t *testing.T) {
	datadriven.RunTest(t, "testdata/catalog", func(t *testing.T, td *datadriven.TestData) string {
		args := []string{"catalog", td.Cmd}
		for _, a := range td.CmdArgs {
			args = append(args, a.String())
		}
		if td.Input != "" {
			t.Chdir(write(t, map[string]string{"mine.yaml": td.Input}))
			args = append(args, "--catalog", "mine.yaml")
		}
		got := cli(args...)
		if got.code != exitDone {
			return fmt.Sprintf("exit code %d\n%s", got.code, got.stdout+got.stderr)
		}
		return got.stdout
	})
}

// TestCatalogShowsEverything holds that each name of the catalogue can be shown, with each figure, source, confidence
// and note of it.
func TestCatalogShowsEverything(t *testing.T) {
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	squeezed := func(s string) string { return strings.Join(strings.Fields(s), "") }
	shown := 0
	for _, kind := range catalog.Kinds() {
		for _, e := range c.Entries(kind) {
			name := e.Key
			if len(e.Aliases) > 0 {
				name = strings.ToUpper(e.Aliases[0])
			}
			text := squeezed(must(t, "catalog", "show", name))
			for _, f := range e.Figures {
				shown++
				for _, want := range []string{f.Name, exact(f.Figure.Value), f.Figure.Source, f.Figure.Confidence} {
					if !strings.Contains(text, squeezed(want)) {
						t.Errorf("show %s lacks %q of %s", name, want, f.Name)
					}
				}
			}
		}
	}
	if shown < 450 {
		t.Errorf("only %d figures", shown)
	}
}

// TestCatalogFormats checks that the JSON of all kinds is the catalogue, and that the CSV files have its rows.
func TestCatalogFormats(t *testing.T) {
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	var entries []catalog.Entry
	if err := json.Unmarshal([]byte(must(t, "catalog", "list", "-o", "json")), &entries); err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, kind := range catalog.Kinds() {
		n := len(c.Entries(kind))
		want += n
		if kind == catalog.KindEnergy {
			n = 2 // a row for each figure
		}
		rows, err := csv.NewReader(strings.NewReader(must(t, "catalog", "list", kind, "-o", "csv"))).ReadAll()
		if err != nil || len(rows) != n+1 {
			t.Errorf("%s: %d rows of CSV for %d entries, %v", kind, len(rows), n, err)
		}
	}
	if len(entries) != want || want < 130 {
		t.Errorf("%d entries of JSON, want %d", len(entries), want)
	}
}

// TestCatalogReadme keeps the tables of the catalogue's README equal to the catalogue. Run the tests with -rewrite to
// write them anew.
func TestCatalogReadme(t *testing.T) {
	const path = "../../sim/catalog/README.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Load()
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, kind := range []string{catalog.KindGPUs, catalog.KindNodes, catalog.KindFabrics, catalog.KindTopologies} {
		begin, end := "<!-- begin generated: "+kind+" -->\n", "<!-- end generated: "+kind+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s lacks %s", path, begin)
		}
		text = before + begin + markdown(catalogTable(c, kind)) + end + after
	}
	if text == string(data) {
		return
	}
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error(path + " is not up to date; run: go test ./cmd/orrery -run TestCatalogReadme -rewrite")
}

func markdown(t reports.Table) string {
	var b strings.Builder
	for _, c := range t.Columns {
		b.WriteString("| " + c.Header() + " ")
	}
	b.WriteString("|\n")
	for _, c := range t.Columns {
		if b.WriteString("|---"); c.Right() {
			b.WriteString(":")
		}
	}
	b.WriteString("|\n")
	for _, r := range t.Rows {
		for k, v := range r {
			b.WriteString("| " + t.Columns[k].Format(v) + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}
