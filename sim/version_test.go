package sim

import (
	"os"
	"strings"
	"testing"
)

// TestVersions: the modules whose versions go into journals are those that go.mod has: a misspelled one would be left out.
func TestVersions(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require ")); len(f) >= 2 && f[1][0] == 'v' {
			required[f[0]] = f[1]
		}
	}
	for _, path := range upstream {
		if required[path] == "" {
			t.Errorf("go.mod does not require %s", path)
		}
	}
}
