package karpenter

import (
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"orrery/sim/engine"
	"orrery/sim/plan"
	"orrery/sim/units"
)

// twoPools is two NodePools of one weight, with all that disrupts nodes.
const twoPools = `apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: %[1]s}
spec:
  template:
    metadata: {labels: {team: %[1]s}}
    spec:
      nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}
      expireAfter: %[2]s
      requirements:
      - {key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}
      - {key: tier, operator: In, values: [gold, silver, bronze]}
  disruption:
    consolidateAfter: 2m
    budgets: [{nodes: "%[3]s"}, {nodes: "3", reasons: [Empty]}]
---
`

const kwokClass = `apiVersion: karpenter.kwok.sh/v1alpha1
kind: KWOKNodeClass
metadata: {name: default}
`

// busy plays six hours in which nodes come and go.
func busy(w *world) error {
	text := fmt.Sprintf(twoPools, "a", "3h", "20%") + fmt.Sprintf(twoPools, "b", "200m", "2") + kwokClass
	if err := w.apply(text); err != nil {
		return err
	}
	at := func(d units.Duration, fn func()) { w.e.At(units.Time(d), engine.PhaseArrive, "script", fn) }
	for i, n := range []int{12, 5, 30, 9, 22} {
		at(time.Duration(i)*55*time.Minute, func() { w.create(fmt.Sprintf("app%d", i), n, 1+i%3) })
		at(time.Duration(i)*55*time.Minute+40*time.Minute, func() { w.scale(fmt.Sprintf("app%d", i), n/3) })
	}
	at(80*time.Minute, func() { w.cloud.out[market{"h100.8x", "z1", plan.CapacitySpot}] = true })
	at(100*time.Minute, func() {
		for i, m := range w.cloud.Machines() {
			if i < 2 {
				w.k.Interrupt(m)
			}
		}
	})
	at(200*time.Minute, func() { clear(w.cloud.out) })
	return w.run(6 * time.Hour)
}

// TestRepeats plays the same at several settings of Go's scheduler, and with every look that upstream would take: every
// write to the API is the same, at the same time.
func TestRepeats(t *testing.T) {
	var want *world
	for i, procs := range []int{1, 8, 2} {
		old := runtime.GOMAXPROCS(procs)
		w := play(&world{t: t, every: i == 1}, plan.Karpenter{}, h100s(plan.CapacitySpot, plan.CapacityOnDemand), busy)
		runtime.GOMAXPROCS(old)
		if want == nil {
			want = w
			for _, what := range []string{"Empty", "Underutilized", "SpotInterrupted", "Expired"} {
				if !strings.Contains(strings.Join(w.log, "\n"), "is terminated: "+what) {
					t.Errorf("no machine is terminated because of %s:\n%s", what, strings.Join(w.log, "\n"))
				}
			}
			continue
		}
		if w.hash == want.hash {
			continue
		}
		for k := range min(len(w.log), len(want.log)) {
			if w.log[k] != want.log[k] {
				t.Errorf("GOMAXPROCS %d:\n%s\nbefore:\n%s", procs, w.log[k], want.log[k])
				break
			}
		}
		t.Fatalf("GOMAXPROCS %d: hash %x, before %x; %d and %d machines", procs, w.hash, want.hash, w.cloud.serial,
			want.cloud.serial)
	}
}

// TestDrains: Karpenter alone does not keep a run alive, pods that wait for a machine do, and pods for which no machine
// will ever do do not.
func TestDrains(t *testing.T) {
	pool := fmt.Sprintf(twoPools, "a", "Never", "10%") + kwokClass
	for _, tc := range []struct {
		name     string
		set      func(*world)
		from, to units.Duration
		waiting  string
	}{
		{"idle", func(*world) {}, 0, time.Minute, "0 pods wait"},
		{"pods", func(w *world) { w.create("x", 3, 1) }, 5 * time.Minute, 6 * time.Minute, "0 pods wait"},
		{"impossible", func(w *world) { w.create("x", 1, 99) }, 0, 2 * time.Minute, "1 pods wait"},
		{"out of stock", func(w *world) {
			for _, ty := range w.cloud.types {
				for _, o := range ty.Offerings {
					w.cloud.out[market{ty.Name, o.Zone, o.CapacityType}] = true
				}
			}
			w.create("x", 1, 1)
			w.e.Background(units.Time(time.Hour), engine.PhaseArrive, "stock", func() { clear(w.cloud.out) })
		}, time.Hour, 70 * time.Minute, "0 pods wait"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in(t, plan.Karpenter{}, h100s(plan.CapacityOnDemand), func(w *world) error {
				if err := w.apply(pool); err != nil {
					return err
				}
				tc.set(w)
				drained, err := w.e.Run(-1)
				if err != nil {
					return err
				}
				now := w.e.Now().Sub(0)
				if !drained || now < tc.from || now > tc.to || !strings.Contains(w.show(), tc.waiting) {
					t.Errorf("the run ended at %s, drained %v:\n%s\n%s", now, drained, strings.Join(w.log, "\n"), w.show())
				}
				return nil
			})
		})
	}
}

// TestOrderClaim: what upstream leaves to a map or to chance has one outcome.
func TestOrderClaim(t *testing.T) {
	need := func(key, op string, values ...string) v1.NodeSelectorRequirementWithMinValues {
		return v1.NodeSelectorRequirementWithMinValues{Key: key, Operator: corev1.NodeSelectorOperator(op), Values: values}
	}
	nc := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"tier": "silver", "any": "8163", "not": "77",
		"gen": "12", "own": "x"}}, Spec: v1.NodeClaimSpec{Requirements: []v1.NodeSelectorRequirementWithMinValues{
		need("tier", "In", "silver", "gold"), need("not", "NotIn", "0", "1"), need("any", "Exists"), need("gen", "Lt", "20"),
		need("gen", "Gt", "4"), need("zone", "In", "b", "a")}}}
	orderClaim(nc)
	if want := map[string]string{"tier": "gold", "any": "0", "not": "2", "gen": "5", "own": "x"}; !maps.Equal(nc.Labels, want) {
		t.Errorf("labels %v, want %v", nc.Labels, want)
	}
	var got []string
	for _, r := range nc.Spec.Requirements {
		got = append(got, fmt.Sprint(r.Key, r.Operator, r.Values))
	}
	if want := "anyExists[] genGt[4] genLt[20] notNotIn[0 1] tierIn[gold silver] zoneIn[a b]"; strings.Join(got, " ") != want {
		t.Errorf("requirements %v, want %s", got, want)
	}
}
