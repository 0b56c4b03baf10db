package html_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"orrery/reports"
	"orrery/reports/html"
	"orrery/reports/reportstest"
	"orrery/sim/result"
)

func render(t *testing.T, d *result.Data) string {
	t.Helper()
	var b bytes.Buffer
	if err := html.Render(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// library is the embedded ECharts, unpacked.
func library(t *testing.T) string {
	t.Helper()
	f, err := os.Open("assets/echarts.min.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLibrary checks the embedded library against the sum its README names, and that it cannot end its script early.
func TestLibrary(t *testing.T) {
	js := library(t)
	readme, err := os.ReadFile("assets/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(js))); !strings.Contains(string(readme), sum) {
		t.Errorf("assets/README.md does not name the sum %s", sum)
	}
	if strings.Contains(strings.ToLower(js), "</script") || strings.Contains(js, "<!--") {
		t.Error("the library would end its script element")
	}
	if !strings.Contains(render(t, reportstest.Small()), js) {
		t.Error("the report does not hold the library as it is")
	}
}

func runs() map[string]*result.Data {
	out := map[string]*result.Data{"small": reportstest.Small(), "empty": reportstest.Empty(), "served": reportstest.Served(),
		"pending": reportstest.AllPending()}
	for seed := range uint64(15) {
		out[fmt.Sprintf("random-%d", seed)] = reportstest.Random(seed)
	}
	return out
}

var (
	broken = regexp.MustCompile(`\bNaN\b|\bInf\b|%!|&lt;nil&gt;|<no value>|ZgotmplZ`)
	loads  = regexp.MustCompile(`(?i)<(script|img|iframe|object|embed|video|audio|source|base|form|link)[^>]*` +
		`\b(src|href|data|action)\s*=|@import|url\(|srcset`)
	links = regexp.MustCompile(`href="([^"]*)"`)
)

// TestDocument checks what holds for every report: no broken numbers, nothing loaded, no script but ours, all anchors
// there, the same bytes twice.
func TestDocument(t *testing.T) {
	js := library(t)
	for name, d := range runs() {
		whole := render(t, d)
		if whole != render(t, d) {
			t.Errorf("%s: two renderings differ", name)
		}
		page := strings.Replace(whole, js, "", 1)
		if m := broken.FindString(page); m != "" {
			t.Errorf("%s: the page says %q", name, m)
		}
		if m := loads.FindString(page); m != "" {
			t.Errorf("%s: the page loads something: %s", name, m)
		}
		if n := strings.Count(page, "<script>"); n != 2 {
			t.Errorf("%s: %d scripts, not 2", name, n)
		}
		for _, m := range links.FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(m[1], "#") || !strings.Contains(page, `id="`+m[1][1:]+`"`) {
				t.Errorf("%s: the link %s leads nowhere in the page", name, m[1])
			}
		}
		for _, s := range reports.Build(d) {
			if !strings.Contains(page, `<section id="`+s.ID+`"`) {
				t.Errorf("%s: no panel %s", name, s.ID)
			}
		}
		ids := map[string]bool{}
		for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if ids[m[1]] {
				t.Errorf("%s: two elements are called %s", name, m[1])
			}
			ids[m[1]] = true
		}
	}
}

// compared is the page of a comparison.
func compared(t *testing.T) (string, *reports.Comparison) {
	t.Helper()
	lean, rich := reportstest.Pair()
	c, err := reports.Compare([]reports.Run{{Name: "lean", Data: lean}, {Name: `</script><b>"rich"`, Data: rich}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := html.RenderComparison(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.String(), c
}

// TestComparison checks the page of a comparison: all panels, nothing loaded, hostile names as text.
func TestComparison(t *testing.T) {
	page, c := compared(t)
	page = strings.Replace(page, library(t), "", 1)
	if m := broken.FindString(page) + loads.FindString(page); m != "" || strings.Contains(page, `<b>"rich`) {
		t.Errorf("the page says or loads %q, or a name is markup", m)
	}
	for _, s := range c.Sections {
		if !strings.Contains(page, `<section id="`+s.ID+`"`) {
			t.Errorf("no panel %s", s.ID)
		}
	}
	if !strings.Contains(page, "from the journals of 2 runs") || !strings.Contains(page, "is the only run that met") {
		t.Error("the page lacks its source or its verdict")
	}
}

// TestEscape puts markup wherever a user's text can go: none of it may reach the page as markup.
func TestEscape(t *testing.T) {
	const evil = `</script><script>alert("x")</script><!-- ' onload="x" & {{.}} ${y}` + "\x00\u202e"
	d := reportstest.Small()
	s := &d.Summary
	s.Scenario, s.Description, s.Trace, s.Epoch, s.EndReason, s.Cost.Basis = evil, evil, evil, evil, evil, evil
	s.Versions[evil] = evil
	s.Scheduler.ByPlugin[evil] = 1 << 40
	s.Warnings = []result.Warning{{Code: evil, Message: evil}}
	s.Expectations = []result.Expectation{{Path: evil}}
	d.Config = evil
	for i := range d.Pools {
		d.Pools[i].Name, d.Pools[i].GPUModel, d.Pools[i].PriceSource = evil, evil, evil
	}
	for i := range d.Nodes {
		d.Nodes[i].Name, d.Nodes[i].Pool = evil, evil
	}
	for i := range d.Tenants {
		d.Tenants[i].Name = evil
	}
	for i := range d.Reasons {
		d.Reasons[i].Message, d.Reasons[i].Plugins = evil, []string{evil}
	}
	for i := range d.Longest {
		d.Longest[i].Job, d.Longest[i].Tenant, d.Longest[i].Reason = evil, evil, evil
	}
	page := strings.Replace(render(t, d), library(t), "", 1)
	for _, bad := range []string{`<script>alert`, `<!-- '`, `onload="x"`, "\x00", "\u202e"} {
		if strings.Contains(page, bad) {
			i := strings.Index(page, bad)
			t.Errorf("the page has %q: …%s…", bad, page[max(0, i-80):min(len(page), i+80)])
		}
	}
	if open, closed := strings.Count(page, "<script"), strings.Count(page, "</script>"); open != closed {
		t.Errorf("%d scripts begin and %d end", open, closed)
	}
}

// TestSize checks that 100,000 jobs on 5,000 nodes, and worse, stay below five megabytes.
func TestSize(t *testing.T) {
	d := reportstest.Large()
	small := len(render(t, d))
	d.Config = strings.Repeat("pool: a\n", 1<<20)
	for i := range 5000 {
		d.Reasons = append(d.Reasons, result.Reason{Message: strings.Repeat(fmt.Sprint("why ", i, " "), 2000)})
	}
	large := len(render(t, d))
	t.Logf("100,000 jobs on 5,000 nodes: %d bytes; with a huge configuration and huge messages: %d bytes", small, large)
	const limit = 5_000_000
	if small > limit || large > limit {
		t.Errorf("the report has %d or %d bytes, more than %d", small, large, limit)
	}
}

type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	for _, room := range []int{0, 1 << 18} {
		if err := html.Render(&full{room}, reportstest.Small()); err == nil {
			t.Errorf("no error with room for %d bytes", room)
		}
	}
}
