package kubescheduler_test

import (
	"context"
	"fmt"
	randv2 "math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"orrery/sim/kube"
	"orrery/sim/policy/kubescheduler"
	"orrery/sim/units"
)

var groupGates = map[string]bool{"GenericWorkload": true}

// groupScript writes scripts with pod groups by hand.
type groupScript struct {
	script
	at   units.Time
	pods int
}

func newGroupScript(nodes int) *groupScript {
	g := &groupScript{script: script{config: kubescheduler.DefaultConfig, gates: groupGates}}
	for i := range nodes {
		g.node(i)
	}
	return g
}

// do adds a step; each has an instant of its own.
func (g *groupScript) do(what string, fn func(*kube.Store) error) {
	g.at = g.at.Add(20 * time.Millisecond)
	g.ops = append(g.ops, op{g.at, what, fn})
}

func (g *groupScript) wait(d time.Duration) { g.at = g.at.Add(d) }

func (g *groupScript) node(i int) {
	make := node(fmt.Sprintf("n%03d", i), "z1", 64, 8, nil)
	g.do("node", func(s *kube.Store) error { _, err := s.Create(make()); return err })
}

// class creates a priority class.
func (g *groupScript) class(name string, value int32) {
	g.do("class", func(s *kube.Store) error {
		_, err := s.Create(&schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value})
		return err
	})
}

// group creates a PodGroup; min 0 is the basic policy, which sets no minimum.
func (g *groupScript) group(name string, min int32, class string) {
	pg := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	pg.Spec.PriorityClassName = class
	if min > 0 {
		pg.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: min}
	} else {
		pg.Spec.SchedulingPolicy.Basic = &schedulingv1beta1.BasicSchedulingPolicy{}
	}
	g.do("group "+name, func(s *kube.Store) error { _, err := s.Create(pg.DeepCopy()); return err })
}

// members creates pods of a group, or single ones when group is "".
func (g *groupScript) members(group string, n int, gpus int64, class string) {
	for i := range n {
		p := kube.PodParams{Namespace: "default", Name: fmt.Sprintf("p%03d-%d", g.pods, i), CPUMilli: 1000,
			Resource: "nvidia.com/gpu", Count: gpus, SchedulerName: "default-scheduler", PriorityClassName: class}
		pod := kube.NewPod(p)
		if group != "" {
			pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
		}
		g.do("create "+p.Name, func(s *kube.Store) error { _, err := s.Create(pod.DeepCopy()); return err })
	}
	g.pods++
}

func (g *groupScript) remove(name string) {
	g.do("delete "+name, func(s *kube.Store) error {
		_ = s.Delete(podsGVR, "default", name, metav1.NewDeleteOptions(0)) // a victim may be gone already
		return nil
	})
}

func (g *groupScript) end(after time.Duration) script {
	g.until = g.at.Add(after)
	return g.script
}

// groupCommit notes what a write to a PodGroup means.
func (d *diary) groupCommit(at units.Time, c kube.Commit) {
	pg, ok := c.New.(*schedulingv1beta1.PodGroup)
	if !ok || c.Sub != "status" {
		return
	}
	for _, x := range pg.Status.Conditions {
		d.add(at, "group %s %s %s %s: %s", pg.Name, x.Type, x.Status, x.Reason, x.Message)
	}
}

// playGroups runs a script in lockstep with the gate for pod groups.
func playGroups(t testing.TB, sc script) []string {
	t.Helper()
	gate(t)
	return sc.lockstep(t)
}

// gate turns upstream's gate for pod groups on for the test. It also takes the place of upstream's error handlers, as a
// run does: one of them sleeps when the last error of the process was at the same time, and upstream reports an error
// for every member of a gang whose attempt it broke off.
func gate(t testing.TB) {
	t.Helper()
	open(t, groupGates)
}

// open is gate for any gates.
func open(t testing.TB, gates map[string]bool) {
	t.Helper()
	restore, err := kubescheduler.SetFeatureGates(gates)
	if err != nil {
		t.Fatal(err)
	}
	handlers := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(context.Context, error, string, ...any) {}}
	t.Cleanup(func() {
		restore()
		utilruntime.ErrorHandlers = handlers
	})
}

// lines returns those that contain a word, without their time.
func lines(all []string, word string) (out []string) {
	for _, l := range all {
		if strings.Contains(l, word) {
			out = append(out, strings.Join(strings.Fields(l)[1:], " "))
		}
	}
	return out
}

// gang is four pods of eight GPUs each, on three nodes, and a fourth node later.
func gang() script {
	g := newGroupScript(3)
	g.group("gang", 4, "")
	g.members("gang", 4, 8, "")
	g.wait(30 * time.Second)
	g.node(3)
	return g.end(2 * time.Minute)
}

func TestGang(t *testing.T) {
	all := playGroups(t, gang())
	const short = "minCount (4) cannot be satisfied: 3 scheduled, 0 remaining, " +
		"pod group preemption: No preemption victims found for incoming preemptor"
	want := []string{
		"group gang PodGroupInitiallyScheduled False Unschedulable: " + short,
		"group gang PodGroupInitiallyScheduled True Scheduled:",
	}
	if d := cmp.Diff(want, lines(all, "group gang")); d != "" {
		t.Errorf("conditions of the group (-want):\n%s", d)
	}
	want = []string{"bound p000-0 to n000", "bound p000-1 to n001", "bound p000-2 to n002", "bound p000-3 to n003"}
	if d := cmp.Diff(want, lines(all, "bound")); d != "" {
		t.Errorf("bindings (-want):\n%s", d)
	}
	for _, l := range all {
		if at := strings.Fields(l)[0]; strings.Contains(l, "bound") && at != "36.00" {
			t.Errorf("%s: want the first attempt after the fourth node came", l)
		}
	}
	// Every attempt tells of every member, and of none that it was scheduled.
	want = nil
	for range 5 { // at once, then after 1, 2, 4, 8 seconds of back-off, and at 36 s, which succeeds
		for i := range 3 {
			want = append(want, fmt.Sprintf("failed default/p000-%d pod group is unschedulable, ", i)+short)
		}
		want = append(want, "failed default/p000-3 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
	}
	if d := cmp.Diff(want, lines(all, "failed")); d != "" {
		t.Errorf("attempts (-want):\n%s", d)
	}
}

// rivals is two gangs and single pods that compete for eight nodes, two of them busy at first.
func rivals() script {
	g := newGroupScript(8)
	g.class("high", 100)
	g.members("", 2, 8, "") // p000
	g.members("late", 4, 8, "")
	g.group("first", 4, "")
	g.members("", 1, 4, "")
	g.members("first", 4, 8, "")
	g.members("", 3, 8, "")
	g.group("late", 4, "") // its pods came first
	g.wait(20 * time.Second)
	g.group("urgent", 2, "high")
	g.members("urgent", 3, 8, "high")
	g.group("loose", 0, "")
	g.members("loose", 3, 2, "")
	g.wait(20 * time.Second)
	for _, name := range []string{"p000-0", "p000-1", "p003-0", "p003-1", "p003-2", "p003-3"} {
		g.remove(name)
	}
	return g.end(10 * time.Minute)
}

func TestGroupsRepeat(t *testing.T) {
	want := playGroups(t, rivals())
	for _, what := range []string{"bound", "failed", "group first", "group late", "group urgent", "group loose"} {
		if len(lines(want, what)) == 0 {
			t.Errorf("no line of %q in\n%s", what, strings.Join(want, "\n"))
		}
	}
	for _, procs := range []int{1, 2, 4, 1, 2, 4, 1, 2} {
		before := runtime.GOMAXPROCS(procs)
		got := playGroups(t, rivals())
		runtime.GOMAXPROCS(before)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("GOMAXPROCS %d:\n%s", procs, d)
		}
	}
}

// over plays a script until nothing is left to do and returns how long that took from its last step on.
func (g *groupScript) over(t *testing.T) (time.Duration, []string) {
	t.Helper()
	g.drain = true
	all := playGroups(t, g.end(24*time.Hour))
	last := all[len(all)-1]
	at, err := strconv.ParseFloat(strings.Fields(last)[0], 64)
	if err != nil || !strings.HasSuffix(last, " over") {
		t.Fatalf("no end: %v, %s", err, last)
	}
	return time.Duration(at*float64(time.Second)) - time.Duration(g.at), all
}

// TestWaitingGangEndsRun: a gang that cannot be placed backs off for ever, and a run ends all the same, but not while
// something has changed that it has not been tried after.
func TestWaitingGangEndsRun(t *testing.T) {
	g := newGroupScript(3)
	g.group("gang", 4, "")
	g.members("gang", 4, 8, "")
	if took, _ := g.over(t); took < time.Minute || took > 8*time.Minute {
		t.Errorf("the run ends %v after the last change", took)
	}
	g = newGroupScript(3)
	g.group("gang", 4, "")
	g.members("gang", 4, 8, "")
	g.wait(2 * time.Hour)
	g.node(3)
	took, all := g.over(t)
	if n := len(lines(all, "bound")); n != 4 || took > time.Minute {
		t.Errorf("%d pods of the gang are bound after its node came, and the run ends %v later", n, took)
	}
	// A gang that never gets its pods waits without being tried, and so do pods without their group.
	g = newGroupScript(1)
	g.group("gang", 4, "")
	g.members("gang", 3, 1, "")
	g.members("none", 2, 1, "")
	if took, all := g.over(t); took > 8*time.Minute || len(lines(all, "failed")) > 0 {
		t.Errorf("the run ends %v after the last change:\n%s", took, strings.Join(all, "\n"))
	}
	for seed := range uint64(6) {
		g := drawGroups(seed, 40)
		if took, _ := g.over(t); took > 15*time.Minute { // a pod flushed after 5 minutes may still be bound
			t.Errorf("seed %d: the run ends %v after the last change", seed, took)
		}
	}
}

// TestWholeGroupPreempted evicts a group of disruption mode All, always in the same order.
func TestWholeGroupPreempted(t *testing.T) {
	for _, gang := range []bool{false, true} {
		for range 4 {
			g := newGroupScript(5)
			g.raw = true
			g.class("high", 100)
			g.do("group", func(s *kube.Store) error {
				pg := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "whole"}}
				pg.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: 5}
				pg.Spec.DisruptionMode = &schedulingv1beta1.DisruptionMode{All: &schedulingv1beta1.AllDisruptionMode{}}
				_, err := s.Create(pg)
				return err
			})
			g.members("whole", 5, 8, "")
			by := "default/p001-0"
			if gang {
				by = "default/urgent"
				g.group("urgent", 1, "high")
				g.members("urgent", 1, 8, "high")
			} else {
				g.members("", 1, 8, "high")
			}
			var want []string
			for i := range 5 {
				want = append(want, fmt.Sprintf("preempted default/p000-%d for %s", i, by))
			}
			all := playGroups(t, g.end(time.Minute))
			if d := cmp.Diff(want, lines(all, "preempted")); d != "" {
				t.Fatalf("(-want):\n%s\n%s", d, strings.Join(all, "\n"))
			}
		}
	}
}

// drawGroups makes a random script of gangs and single pods. Priorities leave preemption no ties: gangs may preempt
// single pods, not each other.
func drawGroups(seed uint64, ops int) *groupScript {
	r := randv2.New(randv2.NewPCG(seed, 7))
	g := newGroupScript(6)
	g.at = g.at.Add(time.Second)
	var live []string
	for i := range ops {
		g.wait(time.Duration(200+r.IntN(900)) * 10 * time.Millisecond)
		switch k := r.IntN(20); {
		case k < 6:
			class := fmt.Sprintf("c%03d", i)
			g.class(class, int32(10+r.IntN(30)*100+i))
			live = append(live, fmt.Sprintf("p%03d-0", g.pods))
			g.members("", 1, []int64{1, 2, 4, 8}[r.IntN(4)], class)
		case k < 12:
			name, n := fmt.Sprintf("g%03d", i), 2+r.IntN(3)
			g.class(name, int32(10000-10*i))
			for j := range n {
				live = append(live, fmt.Sprintf("p%03d-%d", g.pods, j))
			}
			create := func() { g.group(name, int32([]int{n, n, n - 1, 0}[r.IntN(4)]), name) }
			if early := r.IntN(4) == 0; early {
				g.members(name, n, []int64{2, 4, 8}[r.IntN(3)], name)
				create()
			} else {
				create()
				g.members(name, n, []int64{2, 4, 8}[r.IntN(3)], name)
			}
		case k < 18 && len(live) > 0:
			x := r.IntN(len(live))
			g.remove(live[x])
			live = slices.Delete(live, x, x+1)
		default:
			name := fmt.Sprintf("n%03d", r.IntN(6))
			g.do("cordon "+name, func(s *kube.Store) error { return toggle(s, name) })
		}
	}
	return g
}

// TestGroupsAgainstFreeRunningUpstream compares scripts with pod groups as TestAgainstFreeRunningUpstream does.
func TestGroupsAgainstFreeRunningUpstream(t *testing.T) {
	gate(t)
	counts := map[string]int{}
	compare := func(name string, sc script) {
		want, got := sc.freeLike(t, sc.lockstep(t))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: upstream free-running (-), in lockstep (+):\n%s", name, d)
		}
		for _, line := range want {
			counts[strings.Fields(line)[1]]++
		}
	}
	compare("gang", gang())
	for seed := range uint64(8) {
		sc := drawGroups(seed, 40).end(12 * time.Minute)
		sc.exact = seed%2 == 0 // of single pods
		compare(fmt.Sprintf("seed %d", seed), sc)
	}
	t.Log(counts)
	for _, what := range []string{"bound", "failed", "condition", "group"} {
		if counts[what] < 20 {
			t.Errorf("only %d lines of %q: the scripts show too little", counts[what], what)
		}
	}
}
