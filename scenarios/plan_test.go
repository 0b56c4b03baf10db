package scenarios

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// samePlan checks that two scenarios give the same run.
func samePlan(t *testing.T, a, b *Scenario) {
	t.Helper()
	p, pj, err := a.Plan()
	if err != nil {
		t.Fatal(err)
	}
	q, qj, err := b.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, q); diff != "" {
		t.Errorf("the plans differ (-first +again):\n%s", diff)
	}
	if x, y := drain(t, pj), drain(t, qj); !reflect.DeepEqual(x, y) {
		diff := cmp.Diff(x[:min(100, len(x))], y[:min(100, len(y))])
		t.Errorf("the jobs differ (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(pj.Warnings(), qj.Warnings()); diff != "" {
		t.Errorf("the warnings differ (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(a.Book(), b.Book()); diff != "" {
		t.Errorf("the price books differ (-first +again):\n%s", diff)
	}
	for _, src := range []interface{ Close() error }{pj, qj} {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}
