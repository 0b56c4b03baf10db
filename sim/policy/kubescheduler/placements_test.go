package kubescheduler_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/kube"
	"orrery/sim/policy/kubescheduler"
)

const rackKey = "example.com/rack"

var rackGates = map[string]bool{"GenericWorkload": true, "TopologyAwareWorkloadScheduling": true,
	"PodGroupPreemptionPolicy": true}

// racks is a script whose nodes stand in racks of equal size.
func racks(racks, each int) *groupScript {
	g := &groupScript{script: script{config: kubescheduler.DefaultConfig, gates: rackGates}}
	for i := range racks * each {
		// Racks take turns, so that the order of nodes says nothing of that of racks.
		make := node(fmt.Sprintf("n%03d", i), "z1", 64, 8, map[string]string{rackKey: fmt.Sprintf("r%d", i%racks)})
		g.do("node", func(s *kube.Store) error { _, err := s.Create(make()); return err })
	}
	return g
}

// inRack creates a gang that must stand in one rack.
func (g *groupScript) inRack(name string, n int, gpus int64, class string, all bool) {
	pg := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	pg.Spec.PriorityClassName = class
	pg.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: int32(n)}
	pg.Spec.SchedulingConstraints = &schedulingv1beta1.PodGroupSchedulingConstraints{
		Topology: []schedulingv1beta1.TopologyConstraint{{Key: rackKey}}}
	if all {
		pg.Spec.DisruptionMode = &schedulingv1beta1.DisruptionMode{All: &schedulingv1beta1.AllDisruptionMode{}}
	}
	g.do("group "+name, func(s *kube.Store) error { _, err := s.Create(pg.DeepCopy()); return err })
	g.members(name, n, gpus, class)
}

// crowded is gangs that fit into several racks equally well, into none, or only after preemption of one of several
// equal gangs.
func crowded() script {
	g := racks(6, 4)
	g.class("high", 100)
	for i := range 4 {
		g.inRack(fmt.Sprintf("gang%d", i), 3, 8, "", i%2 == 0) // p000 to p003: three of a rack's four nodes
	}
	g.wait(20 * time.Second)
	g.members("", 4, 4, "")
	g.inRack("tall", 5, 8, "", false) // more than a rack has
	g.inRack("pair", 2, 8, "", false)
	g.wait(20 * time.Second)
	g.inRack("urgent", 4, 8, "high", false)
	g.inRack("urgent2", 3, 8, "high", false)
	g.wait(20 * time.Second)
	for i := range 3 {
		g.remove(fmt.Sprintf("p001-%d", i))
	}
	return g.end(5 * time.Minute)
}

// TestPlacementsRepeat: which of several equally good placements a gang gets, and what is said of those it does not get,
// is a function of the input.
func TestPlacementsRepeat(t *testing.T) {
	open(t, rackGates)
	want := crowded().lockstep(t)
	for _, what := range []string{"bound", "failed", "group tall", "group urgent", "preempted"} {
		if len(lines(want, what)) == 0 {
			t.Errorf("no line of %q in\n%s", what, strings.Join(want, "\n"))
		}
	}
	for i := range 20 {
		procs := []int{1, 2, 8}[i%3]
		before := runtime.GOMAXPROCS(procs)
		got := crowded().lockstep(t)
		runtime.GOMAXPROCS(before)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("run %d, GOMAXPROCS %d:\n%s", i, procs, d)
		}
	}
}

// TestPlacement: all members of a gang stand in one rack, and a gang that no rack can hold waits and is told why.
func TestPlacement(t *testing.T) {
	open(t, rackGates)
	g := racks(3, 3)
	var where = map[string]map[string]bool{}
	g.members("", 2, 8, "") // p000: two nodes of two racks
	g.wait(5 * time.Second)
	g.inRack("three", 3, 8, "", false)
	g.wait(5 * time.Second)
	g.inRack("never", 3, 8, "", false)
	all := g.end(time.Minute).lockstep(t)
	for _, l := range lines(all, "bound p001") {
		var i int
		if _, err := fmt.Sscanf(l[strings.LastIndex(l, "n"):], "n%03d", &i); err != nil {
			t.Fatal(err)
		}
		rack := fmt.Sprintf("r%d", i%3)
		if where[rack] == nil {
			where[rack] = map[string]bool{}
		}
		where[rack][l] = true
	}
	if len(where) != 1 || len(where["r2"]) != 3 {
		t.Errorf("the gang of three stands in %v, want all of rack r2", where)
	}
	if said := lines(all, "group never"); len(said) == 0 || !strings.Contains(said[0], "0/3 placements are available") {
		t.Errorf("the gang that fits nowhere is told %q", said)
	}
}
