package term_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"

	"orrery/reports"
	"orrery/reports/reportstest"
	"orrery/reports/term"
	"orrery/sim/result"
)

func render(t *testing.T, d *result.Data, o term.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := term.Render(&b, d, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func short(t *testing.T, d *result.Data) string {
	t.Helper()
	var b bytes.Buffer
	if err := term.Short(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	small := reportstest.Small()
	reportstest.Golden(t, "small-100.txt", []byte(render(t, small, term.Options{})))
	reportstest.Golden(t, "small-60-two.txt", []byte(render(t, small,
		term.Options{Width: 60, Panels: []string{"pools", "reasons"}})))
	reportstest.Golden(t, "empty.txt", []byte(render(t, reportstest.Empty(), term.Options{})))
	reportstest.Golden(t, "short-small.txt", []byte(short(t, small)))
	reportstest.Golden(t, "short-served.txt", []byte(short(t, reportstest.Served())))
	reportstest.Golden(t, "short-pending.txt", []byte(short(t, reportstest.AllPending())))
	reportstest.Golden(t, "short-empty.txt", []byte(short(t, reportstest.Empty())))
}

// TestComparison renders a comparison in every width, and one of them against a golden file.
func TestComparison(t *testing.T) {
	lean, rich := reportstest.Pair()
	c, err := reports.Compare([]reports.Run{{Name: "lean", Data: lean}, {Name: "rich\x1b[31m", Data: rich}})
	if err != nil {
		t.Fatal(err)
	}
	for _, width := range []int{0, 40, 80, 200} {
		var b bytes.Buffer
		if err := term.RenderComparison(&b, c, term.Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		if width > 0 {
			check(t, fmt.Sprint("width ", width), b.String(), width)
			continue
		}
		reportstest.Golden(t, "compare-100.txt", b.Bytes())
	}
}

var broken = regexp.MustCompile(`\bNaN\b|\bInf\b|%!|<nil>`)

// check finds what no terminal output may have: broken numbers, control characters and lines that are too long. The
// configuration keeps its own lines.
func check(t *testing.T, where, out string, width int) {
	t.Helper()
	for i, line := range strings.Split(out, "\n") {
		if text.StringWidth(line) > width {
			t.Errorf("%s: line %d is %d wide: %q", where, i+1, text.StringWidth(line), line)
		}
		if broken.MatchString(line) || strings.TrimRight(line, " ") != line {
			t.Errorf("%s: line %d: %q", where, i+1, line)
		}
		for _, r := range line {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%s: line %d has the character %U", where, i+1, r)
			}
		}
	}
}

func TestProperties(t *testing.T) {
	cases := map[string]*result.Data{"small": reportstest.Small(), "empty": reportstest.Empty(),
		"pending": reportstest.AllPending(), "served": reportstest.Served()}
	for seed := range uint64(40) {
		cases[fmt.Sprintf("random-%d", seed)] = reportstest.Random(seed)
	}
	for name, d := range cases {
		d.Config = "a: 1\n"
		for _, width := range []int{40, 60, 80, 120, 200} {
			check(t, fmt.Sprintf("%s at %d", name, width), render(t, d, term.Options{Width: width, Rows: 5}), width)
		}
		out := short(t, d)
		check(t, name+" short", out, 80)
		if n := strings.Count(out, "\n"); n > 25 {
			t.Errorf("%s: the short form has %d lines", name, n)
		}
	}
}

// TestWhole checks that nothing is lost where a table is split or wrapped: every word of every cell is there.
func TestWhole(t *testing.T) {
	d := reportstest.Small()
	for _, width := range []int{70, 100} {
		out := render(t, d, term.Options{Width: width, Panels: []string{"pools", "tenants", "scheduler"}, Rows: -1})
		for _, s := range reports.Build(d) {
			if s.ID != "pools" && s.ID != "tenants" && s.ID != "scheduler" {
				continue
			}
			for _, tab := range s.Tables {
				for _, r := range tab.Rows {
					for k, v := range r {
						word := strings.Fields(tab.Columns[k].Format(v))
						if len(word) > 0 && len(word[0]) < 14 && !strings.Contains(out, word[0]) {
							t.Errorf("width %d: %s/%s has no %q", width, s.ID, tab.ID, word[0])
						}
					}
				}
			}
		}
	}
}

func TestUnknownPanel(t *testing.T) {
	var b bytes.Buffer
	err := term.Render(&b, reportstest.Small(), term.Options{Panels: []string{"gpus", "nope", "neither"}})
	if err == nil || !strings.Contains(err.Error(), "nope, neither") || !strings.Contains(err.Error(), "waits") {
		t.Errorf("got error %v, want one naming the unknown and the known panels", err)
	}
	if b.Len() > 0 {
		t.Errorf("wrote %d bytes despite the error", b.Len())
	}
}
