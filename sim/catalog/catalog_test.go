package catalog

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

func TestShippedCatalogue(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ name, key string }{
		{"H100", "h100-sxm"}, {"h100-sxm", "h100-sxm"}, {"A100", "a100-80"}, {"P100", "p100"}, {"T4", "t4"},
		{"V100M16", "v100-16"}, {"V100M32", "v100-32"}, {"A10", "a10"}, {"G1", "openb-g1"}, {"g2", "openb-g2"},
		{"G3", "openb-g3"}, {"GB300", "gb300"}, {"MI300X", "mi300x"}, {"Gaudi3", "gaudi3"},
	} {
		if g, err := c.Lookup(want.name); err != nil || g.Key != want.key {
			t.Errorf("Lookup(%q) = %q, %v; want %q", want.name, g.Key, err, want.key)
		}
	}
	for _, g := range c.GPUs {
		if g.Undisclosed && (g.TDPWatts != nil || g.IdleWatts != nil) {
			t.Errorf("%s is masked by its publisher but has a power figure", g.Key)
		}
		if _, priced := c.Price(g.Key, OnDemand, ""); g.Undisclosed && priced {
			t.Errorf("%s is masked by its publisher but has a price", g.Key)
		}
		if !g.Undisclosed && (g.MemoryMiB == nil || g.TDPWatts == nil) {
			t.Errorf("%s lacks memory or power", g.Key)
		}
	}
	if _, err := c.Lookup("H10"); err == nil || !strings.Contains(err.Error(), "did you mean") {
		t.Errorf("Lookup of a typo gives no suggestion: %v", err)
	}
}

func TestPrices(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		gpu, basis, provider string
		usd                  float64
	}{
		{"h100-sxm", OnDemand, "", 6.88}, {"h100-sxm", OnDemand, "gcp", 11.06125}, {"h100-sxm", OnDemand, "azure",
			12.29},
		{"h100-sxm", Spot, "", 6.32625}, {"h100-sxm", Reserved1Y, "", -1}, {"openb-g1", OnDemand, "", -1},
	} {
		p, ok := c.Price(tc.gpu, tc.basis, tc.provider)
		if ok != (tc.usd >= 0) || ok && p.USD.Value != tc.usd {
			t.Errorf("Price(%s, %s, %q) = %v, %v; want %v", tc.gpu, tc.basis, tc.provider, p.USD.Value, ok, tc.usd)
		}
	}
	p, _ := c.Price("h100-sxm", OnDemand, "")
	if !strings.Contains(p.Source(), "AWS EC2 on-demand") || !strings.Contains(p.Source(), "2026-07-20") {
		t.Errorf("the price does not name its source: %s", p.Source())
	}
}

// TestUserFiles runs testdata/load: a user's file, loaded after the embedded ones.
func TestUserFiles(t *testing.T) {
	datadriven.RunTest(t, "testdata/load", func(t *testing.T, td *datadriven.TestData) string {
		c, err := Load(File{"mine.yaml", []byte(td.Input)})
		if err != nil {
			return err.Error() + "\n"
		}
		var name, basis string
		td.ScanArgs(t, "gpu", &name)
		td.MaybeScanArgs(t, "basis", &basis)
		g, err := c.Lookup(name)
		if err != nil {
			return err.Error() + "\n"
		}
		out := g.Key + " " + g.Product + " " + g.Resource + "\n"
		if p, ok := c.Price(g.Key, basis, ""); ok {
			out += p.Source() + "\n"
		}
		return out
	})
}

func FuzzLoad(f *testing.F) {
	for _, name := range embeddedFiles {
		data, err := embedded.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("apiVersion: orrery/v1\nkind: Catalog\ngpus: [{key: x}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBuilder()
		b.add(File{"f.yaml", data})
		for _, problem := range b.problems {
			if !strings.HasPrefix(problem.Error(), "f.yaml:") {
				t.Fatalf("problem without a line: %s", problem)
			}
		}
		if len(b.problems) > 0 {
			return
		}
		sourced := Figure{Value: 1, Source: "x", Date: "2026", Confidence: "low"}
		if b.c.Energy.PUE.Source == "" || b.c.Energy.USDPerKWh.Source == "" {
			b.c.Energy = Energy{PUE: sourced, USDPerKWh: sourced}
		}
		c, err := b.build()
		if err != nil {
			t.Fatalf("no problem was found, and yet: %v", err)
		}
		for _, kind := range Kinds() {
			for _, e := range c.Entries(kind) {
				for _, f := range e.Figures {
					if f.Figure.Source == "" || f.Figure.Date == "" || f.Figure.Confidence == "" {
						t.Fatalf("%s %s: %s has no source: %+v", kind, e.Key, f.Name, f.Figure)
					}
				}
			}
		}
	})
}
