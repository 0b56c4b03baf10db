package resourceclaim

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestRoutine: what the controller reports of objects that others change or delete is its normal life, also where upstream
// wraps the API's error.
func TestRoutine(t *testing.T) {
	gone := func(resource string) error {
		return apierrors.NewNotFound(schema.GroupResource{Resource: resource}, "x")
	}
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "resourceclaims"}, "x", errors.New("changed"))
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{gone("pods"), true},
		{fmt.Errorf("update claim: %w", gone("resourceclaims")), true},
		{fmt.Errorf("update claim: %w", conflict), true},
		{fmt.Errorf("create claim: %w", gone("namespaces")), false},
		{errors.New("unexpected"), false},
		{nil, false},
	} {
		if got := Routine(tc.err); got != tc.want {
			t.Errorf("%v: routine is %t", tc.err, got)
		}
	}
}
