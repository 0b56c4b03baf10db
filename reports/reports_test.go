package reports_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"orrery/reports"
	"orrery/reports/reportstest"
	"orrery/sim/result"
)

// runs are the cases every property is checked on: the samples, and random data of every kind.
func runs() map[string]*result.Data {
	out := map[string]*result.Data{"small": reportstest.Small(), "empty": reportstest.Empty(),
		"pending": reportstest.AllPending(), "served": reportstest.Served()}
	for seed := range uint64(150) {
		out[fmt.Sprintf("random-%d", seed)] = reportstest.Random(seed)
	}
	return out
}

// broken finds what formatting leaves when something went wrong.
var broken = regexp.MustCompile(`\bNaN\b|[+-]Inf\b|\bInf\b|%!|-0 |\$-|<nil>|\(MISSING\)`)

// TestSections checks the promises of the model that all renderers rely on.
func TestSections(t *testing.T) {
	for name, d := range runs() {
		sections := reports.Build(d)
		absent := 0
		for _, p := range reports.Panels() {
			if p.Build(d).Absent {
				absent++
			}
		}
		if d.Summary.Jobs.Submitted == 0 && d.Summary.Serving != nil { // panels about jobs are left out
			absent = len(reports.Panels()) - len(sections)
		}
		if len(sections)+absent != len(reports.Panels()) {
			t.Fatalf("%s: %d sections and %d absent of %d panels", name, len(sections), absent, len(reports.Panels()))
		}
		for _, s := range sections {
			where := name + "/" + s.ID
			checkSection(t, where, s)
		}
	}
}

// checkSection checks what every section promises: a sentence above it, whole texts, tables and charts that hold.
func checkSection(t *testing.T, where string, s reports.Section) {
	t.Helper()
	if s.Headline == "" || !strings.HasSuffix(strings.TrimRight(s.Headline, "”)"), ".") {
		t.Errorf("%s: the headline %q is no sentence", where, s.Headline)
	}
	texts := append([]string{s.Headline}, s.Notes...)
	for _, f := range s.Findings {
		texts = append(texts, f.Text)
	}
	for _, c := range s.Cards {
		texts = append(texts, c.Label, c.Value, c.Sub)
	}
	for _, tab := range s.Tables {
		texts = append(texts, checkTable(t, where, tab)...)
	}
	for _, c := range s.Charts {
		checkChart(t, where, c)
	}
	for _, x := range texts {
		if broken.MatchString(x) {
			t.Errorf("%s: broken text %q", where, x)
		}
	}
}

func checkTable(t *testing.T, where string, tab reports.Table) (texts []string) {
	t.Helper()
	keys := map[string]bool{}
	for _, c := range tab.Columns {
		if keys[c.Key] || c.Key == "" || c.Name == "" {
			t.Errorf("%s/%s: column %q is not unique or has no name", where, tab.ID, c.Key)
		}
		keys[c.Key] = true
	}
	for i, r := range tab.Rows {
		if len(r) != len(tab.Columns) {
			t.Fatalf("%s/%s: row %d has %d cells, not %d", where, tab.ID, i, len(r), len(tab.Columns))
		}
		for k, v := range r {
			texts = append(texts, tab.Columns[k].Format(v), v.Raw())
			if b, err := v.MarshalJSON(); err != nil || len(b) == 0 {
				t.Errorf("%s/%s: cell %q as JSON: %s, %v", where, tab.ID, v.Raw(), b, err)
			}
		}
	}
	return texts
}

func checkChart(t *testing.T, where string, c reports.Chart) {
	t.Helper()
	where += "/" + c.ID
	if c.X.Unit == "" || c.Y.Unit == "" || c.X.Name == "" || c.Y.Name == "" {
		t.Errorf("%s: an axis has no name or unit", where)
	}
	want := len(c.Categories)
	if c.Kind == reports.Line || c.Kind == reports.StackedArea {
		want = len(c.Times) - 1
		for i := 1; i < len(c.Times); i++ {
			if c.Times[i] <= c.Times[i-1] {
				t.Fatalf("%s: time does not advance at %d: %v", where, i, c.Times[i-1:i+1])
			}
		}
	}
	if c.Kind == reports.HeatMap {
		if len(c.Rows) != len(c.Heat) || len(c.Rows) > 200 || len(c.Categories) > 160 {
			t.Errorf("%s: %d labels, %d rows, %d columns", where, len(c.Rows), len(c.Heat), len(c.Categories))
		}
		for _, r := range c.Heat {
			if len(r) != want {
				t.Fatalf("%s: a row has %d cells, not %d", where, len(r), want)
			}
			for _, v := range r {
				if v != -1 && (v < 0 || v > 100.001 || math.IsNaN(v)) {
					t.Fatalf("%s: cell %v", where, v)
				}
			}
		}
	}
	for _, s := range c.Series {
		if len(s.Values) != want || want > 600 {
			t.Errorf("%s/%s: %d values for %d places", where, s.Name, len(s.Values), want)
		}
		for _, v := range s.Values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%s/%s: value %v", where, s.Name, v)
			}
		}
	}
}

// TestFindings checks that findings never say what the numbers deny.
func TestFindings(t *testing.T) {
	for name, d := range runs() {
		text := map[string]string{}
		for _, f := range reports.Findings(d) {
			if text[f.Rule] != "" || f.Text == "" {
				t.Errorf("%s: rule %s speaks twice or says nothing", name, f.Rule)
			}
			text[f.Rule] = f.Text
		}
		j, g, w, c := d.Summary.Jobs, d.Summary.GPU, d.Summary.QueueWait, d.Summary.Cost
		for _, p := range []struct {
			when       bool
			rule, want string
		}{
			{g.CapacityHours == 0 && g.Devices == 0, "use", "no GPUs"},
			{g.UsedHours > 0, "use", " used: "},
			{g.UsedHours > 0 && g.IdleHours == 0, "idle", "ever idle"},
			{g.UsedHours > 0 && g.IdleHours > 0 && g.IdleFragmentedHours+g.IdleWaitingHours == 0, "idle",
				"only because nothing"},
			{g.IdleWaitingHours > g.IdleFragmentedHours && g.IdleFragmentedHours > 0, "idle", "had not judged"},
			{g.IdleFragmentedHours > 0 && g.IdleFragmentedHours > g.IdleWaitingHours, "idle", "fit the waiting pods nowhere"},
			{j.Submitted == 0 && (d.Summary.Serving == nil || len(d.Summary.Serving.ServiceNames) == 0), "waits",
				"No job was submitted"},
			{j.Submitted > j.Rejected && w.Count == 0, "waits", "No job was ever placed"},
			{w.Count > 1 && w.Max == 0, "waits", "had to wait"},
			{w.Count >= 100 && w.Max > w.P50 && w.P99 > w.P50, "waits", "one in a hundred " + reports.FormatDuration(w.P99)},
			{j.Pending > 0, "end", "never been placed"},
			{j.NeverSchedulable > 0 && j.Pending > 0, "end", "never can be"},
			{c.TotalUSD == 0 && c.Unpriced > 0, "cost", "not known"},
			{c.TotalUSD > 0 && c.Unpriced > 0, "cost", "without a price"},
			{c.TotalUSD > 0 && c.IdleUSD > 0, "cost", reports.FormatUSD(c.IdleUSD) + " of " + reports.FormatUSD(c.TotalUSD)},
			{j.Rejected > 0, "rejected", "refused"},
			{!d.Summary.Repeatable, "repeatable", "not repeatable"},
			{d.Summary.Gangs != nil && d.Summary.Gangs.NeverPlaced > 0, "gangs", "not placed"},
			{partly(d) >= 0.01*g.UsedHours && partly(d) > 0 && g.UsedHours > 0, "gangs", "a part of their pods only held"},
			{partly(d) >= 0.01*g.UsedHours && partly(d) > 0 && g.UsedHours > 0 && inService(&g), "use", "a part of their pods only"},
			{lost(d.Summary.Speed) > 0, "speed", "of what the GPUs at work could do was lost"},
			{d.Summary.Speed != nil && d.Summary.Speed.WorkingHours > 0 && lost(d.Summary.Speed) == 0, "speed", "ideal speed or"},
			{d.Summary.Fragmentation != nil && d.Summary.Fragmentation.IdleHours >= 0.001*(g.UsedHours+g.IdleHours) &&
				slices.ContainsFunc(d.Fragmentation.Causes,
					func(c result.Cause) bool { return c.Hours > 0 }), "causes", " % of it: "},
		} {
			if p.when && !strings.Contains(text[p.rule], p.want) {
				t.Errorf("%s: rule %s says %q, not %q", name, p.rule, text[p.rule], p.want)
			}
		}
		if g.IdleHours == 0 && strings.Contains(text["idle"], "was idle") {
			t.Errorf("%s: nothing was idle, but: %s", name, text["idle"])
		}
		if j.Pending == 0 && strings.Contains(text["end"]+text["waits"], "never") {
			t.Errorf("%s: nothing is pending, but: %s %s", name, text["waits"], text["end"])
		}
		checkExpectations(t, name, d, text["expectations"])
	}
}

// partly is the GPU time that jobs held while they had a part of their pods only.
func partly(d *result.Data) float64 {
	if d.Summary.PartlyPlaced == nil {
		return 0
	}
	return d.Summary.PartlyPlaced.GPUHours
}

// inService says whether GPU time could be used.
func inService(g *result.GPU) bool { return g.CapacityHours > 0 && g.UsedHours+g.IdleHours > 0 }

// TestFindingsWrongFirst holds that what is wrong stands before what is not, behind the scenario's expectations, what
// users of services got, the use of the GPUs and the waits: the page folds all but the first few away.
func TestFindingsWrongFirst(t *testing.T) {
	for name, d := range runs() {
		calm := false
		for _, f := range reports.Findings(d) {
			wrong := f.Level == reports.Warn || f.Level == reports.Bad
			switch {
			case slices.Contains([]string{"expectations", "answers", "objectives", "use", "waits"}, f.Rule):
			case wrong && calm:
				t.Errorf("%s: %q stands behind findings that are not wrong", name, f.Text)
			default:
				calm = calm || !wrong
			}
		}
	}
}

// lost is the GPU time lost to less than ideal speed.
func lost(s *result.Speed) float64 {
	if s == nil {
		return 0
	}
	return s.PlacementHours + s.SharingHours + s.HardwareHours
}

func checkExpectations(t *testing.T, name string, d *result.Data, text string) {
	t.Helper()
	missed := 0
	for _, e := range d.Summary.Expectations {
		if !e.Met {
			missed++
		}
	}
	if (missed > 0) != strings.Contains(text, "missed") {
		t.Errorf("%s: %d expectations missed, but: %q", name, missed, text)
	}
}

// TestAreas checks that grouping bins keeps the area under every series, and the ledger's sum at every instant.
func TestAreas(t *testing.T) {
	d := reportstest.Large()
	for _, s := range reports.Build(d) {
		if s.ID != "gpus" {
			continue
		}
		c := s.Charts[0]
		area := func(v []float64) (sum float64) {
			for i, f := range v {
				sum += f * (c.Times[i+1] - c.Times[i])
			}
			return sum * 24 // the axis is in days
		}
		g := d.Summary.GPU
		want := []float64{g.UsedHours, g.IdleFragmentedHours, g.IdleWaitingHours, g.IdleNoDemandHours, g.DownHours,
			g.CapacityHours}
		for k, x := range c.Series {
			if got := area(x.Values); math.Abs(got-want[k]) > 1e-6*g.CapacityHours {
				t.Errorf("%s: the area is %v GPU-hours, the ledger says %v", x.Name, got, want[k])
			}
		}
		for i, total := range c.Series[5].Values {
			sum := 0.0
			for _, x := range c.Series[:5] {
				sum += x.Values[i]
			}
			if math.Abs(sum-total) > 1e-6*total {
				t.Fatalf("point %d: the states add up to %v, the capacity is %v", i, sum, total)
			}
		}
		return
	}
	t.Fatal("no panel gpus")
}

// TestNotFinite feeds what must never arrive, and still no report may say NaN.
func TestNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		d := reportstest.Small()
		poison(reflect.ValueOf(d).Elem(), bad)
		for _, s := range reports.Build(d) {
			texts := append([]string{s.Headline}, s.Notes...)
			for _, f := range s.Findings {
				texts = append(texts, f.Text)
			}
			for _, c := range s.Cards {
				texts = append(texts, c.Value, c.Sub)
			}
			for _, tab := range s.Tables {
				for _, r := range tab.Rows {
					for k, v := range r {
						texts = append(texts, tab.Columns[k].Format(v), v.Raw())
					}
				}
			}
			for _, x := range texts {
				if broken.MatchString(x) {
					t.Errorf("%s with %v: %q", s.ID, bad, x)
				}
			}
		}
	}
}

// poison sets every float in v, times of bins excepted: they are counted, not measured.
func poison(v reflect.Value, bad float64) {
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		v.SetFloat(bad)
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "T" && name != "HeatT" && name != "Bin" && name != "HeatBin" {
				poison(v.Field(i), bad)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), bad)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem(), bad)
		}
	}
}

// TestPure checks that building changes nothing and repeats.
func TestPure(t *testing.T) {
	d, fresh := reportstest.Small(), reportstest.Small()
	a, b := fmt.Sprint(strip(reports.Build(d))), fmt.Sprint(strip(reports.Build(d)))
	if a != b {
		t.Error("two builds of one run differ")
	}
	if !reflect.DeepEqual(d, fresh) {
		t.Error("building a report changed the data")
	}
}

func strip(s []reports.Section) (out []reports.Content) {
	for _, x := range s {
		out = append(out, x.Content)
	}
	return out
}

func TestPanelsList(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range reports.Panels() {
		if seen[p.ID] || !regexp.MustCompile(`^[a-z-]+$`).MatchString(p.ID) {
			t.Errorf("panel ID %q is not unique or not plain", p.ID)
		}
		seen[p.ID] = true
		if !strings.HasSuffix(p.Question, "?") || p.Title == "" {
			t.Errorf("panel %s: question %q, title %q", p.ID, p.Question, p.Title)
		}
	}
}

// TestReadme keeps the table of panels in README.md true. ORRERY_REWRITE=1 rewrites it.
func TestReadme(t *testing.T) {
	var table strings.Builder
	table.WriteString("| panel | title | question | file |\n|---|---|---|---|\n")
	for _, p := range reports.Panels() {
		file := "panel_" + strings.ReplaceAll(p.ID, "-", "_") + ".go"
		if _, err := os.Stat(file); err != nil {
			t.Errorf("panel %s: %v", p.ID, err)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | `%s` |\n", p.ID, p.Title, p.Question, file)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "<!-- panels -->\n", "<!-- /panels -->"
	head, rest, ok1 := strings.Cut(string(readme), from)
	old, tail, ok2 := strings.Cut(rest, to)
	if !ok1 || !ok2 {
		t.Fatal("README.md has no place for the table of panels")
	}
	if old == table.String() {
		return
	}
	if os.Getenv("ORRERY_REWRITE") != "1" {
		t.Fatal("the table of panels in README.md is stale; run the test with ORRERY_REWRITE=1")
	}
	if err := os.WriteFile("README.md", []byte(head+from+table.String()+to+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFormat(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{reports.FormatDuration(0), "0 s"}, {reports.FormatDuration(0.0004), "< 1 ms"},
		{reports.FormatDuration(0.25), "250 ms"}, {reports.FormatDuration(3), "3 s"},
		{reports.FormatDuration(3.25), "3.2 s"}, {reports.FormatDuration(59.6), "1 min"},
		{reports.FormatDuration(125), "2 min 5 s"}, {reports.FormatDuration(3600), "1 h"},
		{reports.FormatDuration(7500), "2 h 5 min"}, {reports.FormatDuration(86399), "1 d"},
		{reports.FormatDuration(100000), "1 d 4 h"}, {reports.FormatDuration(1e300), "1.16e+295 d"},
		{reports.FormatShare(0), "0 %"}, {reports.FormatShare(1), "100 %"}, {reports.FormatShare(0.00001), "< 0.1 %"},
		{reports.FormatShare(0.9999), "> 99.9 %"}, {reports.FormatShare(0.996), "99.6 %"},
		{reports.FormatShare(0.99), "99 %"}, {reports.FormatShare(0.9901), "99.0 %"},
		{reports.FormatPrice(0), "$0"}, {reports.FormatPrice(1.066), "$1.07"}, {reports.FormatPrice(0.0996), "$0.10"},
		{reports.FormatPrice(0.0994), "$0.099"}, {reports.FormatPrice(0.00995), "$0.010"},
		{reports.FormatPrice(0.00094), "$0.00094"}, {reports.FormatPrice(-0.05), "-$0.050"},
		{reports.FormatPrice(1e-7), "< $0.00001"}, {reports.FormatPrice(12345678), "$12.3 M"},
		{reports.FormatShare(0.714), "71 %"}, {reports.FormatShare(0.042), "4.2 %"},
		{reports.FormatUSD(0), "$0"}, {reports.FormatUSD(0.001), "< $0.01"}, {reports.FormatUSD(12.345), "$12.35"},
		{reports.FormatUSD(999.999), "$1,000"}, {reports.FormatUSD(12345678), "$12,345,678"},
		{reports.FormatUSD(-5), "-$5.00"}, {reports.FormatNumber(1234567), "1,234,567"},
		{reports.FormatNumber(64), "64"}, {reports.FormatNumber(63.99999999999), "64"},
		{reports.FormatNumber(0.0001), "< 0.001"}, {reports.FormatNumber(12.345), "12.3"},
		{reports.FormatNumber(math.NaN()), "n/a"}, {reports.FormatCount(-0.2), "0"},
		{reports.N(math.Inf(1)).Raw(), ""}, {reports.N(math.Copysign(0, -1)).Raw(), "0"},
		{reports.N(0.1).Raw(), "0.1"}, {reports.N(1e20).Raw(), "100000000000000000000"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}

// TestDurationMonotonic: a longer span never reads as a shorter one.
func TestDurationMonotonic(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 20000 {
		s := math.Exp(r.Float64()*30 - 8)
		if read := parse(t, reports.FormatDuration(s)); read > 0 && math.Abs(read-s) > 0.06*s {
			t.Fatalf("%v s reads %q", s, reports.FormatDuration(s))
		}
	}
}

// parse reads a formatted duration back.
func parse(t *testing.T, s string) (seconds float64) {
	t.Helper()
	if strings.HasPrefix(s, "<") {
		return 0
	}
	units := map[string]float64{"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
	fields := strings.Fields(strings.ReplaceAll(s, ",", ""))
	for i := 0; i+1 < len(fields); i += 2 {
		var f float64
		if _, err := fmt.Sscan(fields[i], &f); err != nil || units[fields[i+1]] == 0 {
			t.Fatalf("duration %q: %v", s, err)
		}
		seconds += f * units[fields[i+1]]
	}
	return seconds
}
