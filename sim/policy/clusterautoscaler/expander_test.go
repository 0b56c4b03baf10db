package clusterautoscaler

import (
	"strings"
	"testing"
)

// TestPriorities: of several expressions that are none the same one is told each time.
func TestPriorities(t *testing.T) {
	for range 50 {
		_, err := parsePriorities("30: ['(c']\n10: [a, '(b']\n20: ['(a']\n")
		if err == nil || !strings.Contains(err.Error(), "(b") {
			t.Fatal(err)
		}
	}
	list, err := parsePriorities("20: [b.*]\n10: [a, c]\n")
	if err != nil || len(list) != 3 || list[2].priority != 20 || !list[2].pattern.MatchString("big") {
		t.Errorf("%+v, %v", list, err)
	}
}
