package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"testing"

	"orrery/reports"
	"orrery/reports/json"
	"orrery/reports/reportstest"
)

func TestGolden(t *testing.T) {
	for name, d := range map[string]func() []byte{
		"pending.json": func() []byte { return render(t, 0) },
		"empty.json":   func() []byte { return render(t, 1) },
	} {
		reportstest.Golden(t, name, d())
	}
}

func render(t *testing.T, which int) []byte {
	t.Helper()
	d := reportstest.AllPending()
	if which == 1 {
		d = reportstest.Empty()
	}
	var b bytes.Buffer
	if err := json.Render(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestComparison reads a comparison back.
func TestComparison(t *testing.T) {
	lean, rich := reportstest.Pair()
	c, err := reports.Compare([]reports.Run{{Name: "lean", Data: lean}, {Name: "rich", Data: rich}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.RenderComparison(&b, c); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Format int      `json:"orrery_comparison"`
		Runs   []string `json:"runs"`
		Panels []struct{ ID string }
	}
	if err := stdjson.Unmarshal(b.Bytes(), &doc); err != nil || doc.Format != json.FormatVersion || len(doc.Runs) != 2 ||
		len(doc.Panels) != len(c.Sections) {
		t.Errorf("%v, %+v", err, doc)
	}
}

// TestRandom checks that any run gives valid JSON with every panel and every row, twice the same.
func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		var a, b bytes.Buffer
		d := reportstest.Random(seed)
		if err := json.Render(&a, d); err != nil {
			t.Fatal(err)
		}
		if err := json.Render(&b, reportstest.Random(seed)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Fatalf("seed %d: two renderings differ", seed)
		}
		var doc struct {
			Panels []struct {
				ID     string
				Tables []struct{ Rows [][]any }
			}
		}
		if err := stdjson.Unmarshal(a.Bytes(), &doc); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i, s := range reports.Build(d) {
			if doc.Panels[i].ID != s.ID || len(doc.Panels[i].Tables) != len(s.Tables) {
				t.Fatalf("seed %d: panel %d is %s", seed, i, doc.Panels[i].ID)
			}
			for k, tab := range s.Tables {
				if len(doc.Panels[i].Tables[k].Rows) != len(tab.Rows) {
					t.Errorf("seed %d: %s/%s has %d rows", seed, s.ID, tab.ID, len(doc.Panels[i].Tables[k].Rows))
				}
			}
		}
	}
}
