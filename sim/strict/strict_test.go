package strict

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"gopkg.in/yaml.v3"
)

// sample has a field of every kind.
type sample struct {
	Name   string            `yaml:"name" required:"true" min:"1" max:"5"`
	Kind   string            `yaml:"kind" enum:"red|green"`
	On     bool              `yaml:"on"`
	Count  int               `yaml:"count" min:"1" max:"9"`
	Big    uint64            `yaml:"big"`
	Ratio  *float64          `yaml:"ratio" max:"1"`
	When   time.Time         `yaml:"when"`
	List   []element         `yaml:"list"`
	Labels map[string]string `yaml:"labels"`
	Inner  *element          `yaml:"inner"`
	Raw    yaml.Node         `yaml:"raw"`
	hidden int
	Skip   int `yaml:"-"`
}

type element struct {
	Name string `yaml:"name"`
	N    int32  `yaml:"n"`
}

func (e *element) SetDefaults() { e.N = 7 }

// TestDecode runs testdata/decode: the arguments are overrides, the input is the document.
func TestDecode(t *testing.T) {
	datadriven.RunTest(t, "testdata/decode", func(t *testing.T, td *datadriven.TestData) string {
		doc, flags, _ := strings.Cut(td.Input, "\n%%\n")
		d := Parse("f.yaml", []byte(doc))
		for _, line := range strings.Split(flags, "\n") {
			if line != "" {
				d.Set("--set", line)
			}
		}
		v := sample{Kind: "red", Count: 3, List: []element{{"default", 1}}, hidden: 1}
		d.Decode(&v)
		if err := d.Err(); err != nil {
			return err.Error() + "\n"
		}
		var b strings.Builder
		fmt.Fprintf(&b, "name %q kind %s on %v count %d big %d list %v labels %v raw %d", v.Name, v.Kind, v.On, v.Count,
			v.Big, v.List, v.Labels, len(v.Raw.Content))
		if v.Ratio != nil {
			fmt.Fprintf(&b, " ratio %v", *v.Ratio)
		}
		if v.Inner != nil {
			fmt.Fprintf(&b, " inner %v", *v.Inner)
		}
		return b.String() + "\n"
	})
}

func TestPositions(t *testing.T) {
	d := Parse("f.yaml", []byte("name: a\nlist:\n- {name: x, n: 1}\nlabels: {a.b/c: d}\n"))
	d.Set("--set", "list.x.n=5")
	var v sample
	d.Decode(&v)
	for path, want := range map[string]string{
		"name": "f.yaml:1:7", "list[0].name": "f.yaml:3:10", "list[0].n": "--set list.x.n=5", "list[3].n": "f.yaml:3:1",
		`labels["a.b/c"]`: "f.yaml:4:17", "nowhere.at[0].all": "f.yaml:1:1",
	} {
		if got := d.Pos(path); got != want {
			t.Errorf("Pos(%s) = %s, want %s", path, got, want)
		}
	}
	if !d.FromFlag("list[0].n") || d.FromFlag("name") || !d.Has("name") || d.Has("inner") {
		t.Error("FromFlag or Has is wrong")
	}
	d.Problemf("list[0].name", "later")
	d.Problemf("name", "first")
	d.Problemf("name", "first")
	d.Foreign("g.yaml:1: other")
	want := "f.yaml:1:7: first\nf.yaml:3:10: later\ng.yaml:1: other"
	if err := d.Err(); err == nil || err.Error() != want {
		t.Errorf("problems are\n%v\nwant\n%s", err, want)
	}
}

// TestAliasBomb checks that nested aliases end in a problem and not in memory.
func TestAliasBomb(t *testing.T) {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 9; i++ {
		text += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	d := Parse("f.yaml", []byte(text))
	if err := d.Err(); err == nil || !strings.Contains(err.Error(), "after expanding aliases") {
		t.Errorf("a document of 10^9 values is accepted: %v", err)
	}
}

func TestSuggest(t *testing.T) {
	for _, tc := range []struct {
		name string
		list []string
		want string
	}{
		{"colour", []string{"color", "count"}, `did you mean "color"?`},
		{"COUNT", []string{"color", "count"}, `did you mean "count"?`},
		{"cuont", []string{"color", "count"}, `did you mean "count"?`},
		{"zebra", []string{"color", "count"}, "want one of: color, count"},
		{"zebra", nil, "none is allowed here"},
	} {
		if got := Suggest(tc.name, tc.list); got != tc.want {
			t.Errorf("Suggest(%q) = %s, want %s", tc.name, got, tc.want)
		}
	}
}

// FuzzSet checks that no document and override make the decoder panic.
func FuzzSet(f *testing.F) {
	f.Add("name: a\nlist: [{name: x}]\n", "list.x.n=3")
	f.Add("labels: {a: b}\n", `labels["c.d"]={e: [f]}`)
	f.Add("a: &a {b: *a}\n", "list[0]=&x [*x]")
	f.Fuzz(func(t *testing.T, doc, set string) {
		d := Parse("f.yaml", []byte(doc))
		d.Set("--set", set)
		var v sample
		d.Decode(&v)
		if err := d.Err(); err != nil && err.Error() == "" {
			t.Fatal("an error without text")
		}
	})
}
