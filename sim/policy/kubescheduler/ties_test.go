package kubescheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	extenderv1 "k8s.io/kube-scheduler/extender/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/preemption"
)

// candidate is a node with its victims, as upstream's dry run returns it.
type candidate struct {
	name    string
	victims *extenderv1.Victims
}

func (c candidate) Name() string                 { return c.name }
func (c candidate) Victims() *extenderv1.Victims { return c.victims }
func (c candidate) NumPodGroupDisruptions() int  { return 0 }

// plain is what DefaultPreemption answers: no score functions of its own.
type plain struct{ preemption.Interface }

func (plain) OrderedScoreFuncs(context.Context, map[string]*extenderv1.Victims) []func(string) int64 {
	return nil
}

func (plain) CandidatesToVictimsMap(cs []preemption.Candidate) map[string]*extenderv1.Victims {
	m := map[string]*extenderv1.Victims{}
	for _, c := range cs {
		m[c.Name()] = c.Victims()
	}
	return m
}

// randomCandidates draws few distinct values so that ties are common.
func randomCandidates(r *rand.Rand) []preemption.Candidate {
	var out []preemption.Candidate
	for i := range 2 + r.IntN(5) {
		v := &extenderv1.Victims{NumPDBViolations: int64(r.IntN(2))}
		for range 1 + r.IntN(2) {
			prio := int32(r.IntN(3) * 10)
			start := metav1.NewTime(time.Unix(int64(r.IntN(2)), 0))
			v.Pods = append(v.Pods, &v1.Pod{Spec: v1.PodSpec{Priority: &prio}, Status: v1.PodStatus{StartTime: &start}})
		}
		if len(v.Pods) == 2 && *v.Pods[0].Spec.Priority < *v.Pods[1].Spec.Priority {
			v.Pods[0], v.Pods[1] = v.Pods[1], v.Pods[0] // upstream orders victims by decreasing priority
		}
		out = append(out, candidate{fmt.Sprintf("node-%d", i), v})
	}
	return out
}

// TestTieBreakerAgainstUpstream compares the repeated criteria with upstream's own choice: upstream, asked often, picks
// any of the tied nodes; ours must always pick one of those, and always the same.
func TestTieBreakerAgainstUpstream(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rank := func(node string) int64 { return int64(node[len(node)-1]) }
	upstream := &preemption.Evaluator{Interface: plain{}}
	ours := &preemption.Evaluator{Interface: tieBreaker{plain{}, rank}}
	ties := 0
	for range 400 {
		cs := randomCandidates(r)
		theirs, best := map[string]bool{}, ""
		for range 60 {
			name := upstream.SelectCandidate(t.Context(), cs).Name()
			theirs[name] = true
			best = max(best, name)
		}
		if len(theirs) > 1 {
			ties++
		}
		for range 5 {
			if got := ours.SelectCandidate(t.Context(), cs).Name(); !theirs[got] || got != best {
				t.Fatalf("picked %s; upstream picks any of %v, the highest rank is %s", got, theirs, best)
			}
		}
	}
	if ties < 20 {
		t.Fatalf("only %d of 400 draws had ties: the test shows nothing", ties)
	}
}

type nodeList struct {
	fwk.NodeInfoLister
	infos []fwk.NodeInfo
}

func (l nodeList) List() ([]fwk.NodeInfo, error) { return l.infos, nil }

// TestOrderNodes checks that the nodes preemption may try, their statuses and the message stay what they were, and that
// their order is now the snapshot's.
func TestOrderNodes(t *testing.T) {
	var nodes nodeList
	for i := range 20 {
		n := framework.NewNodeInfo()
		n.SetNode(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%02d", i)}})
		nodes.infos = append(nodes.infos, n)
	}
	for _, explicit := range []int{20, 7} {
		fit := &framework.FitError{NumAllNodes: 20,
			Diagnosis: framework.Diagnosis{NodeToStatus: framework.NewDefaultNodeToStatus()}}
		m := fit.Diagnosis.NodeToStatus
		if explicit < 20 {
			m.SetAbsentNodesStatus(fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "not selected"))
		}
		want := map[string]bool{}
		for i := range explicit {
			code := fwk.Unschedulable
			if i%3 == 0 {
				code = fwk.UnschedulableAndUnresolvable
			} else {
				want[fmt.Sprintf("node-%02d", i)] = true
			}
			m.Set(fmt.Sprintf("node-%02d", i), fwk.NewStatus(code, "full"))
		}
		message := fit.Error()
		orderNodes(fit, nodes)
		got, err := m.NodesForStatusCode(nodes, fwk.Unschedulable)
		if err != nil {
			t.Fatal(err)
		}
		last := ""
		for _, n := range got {
			name := n.Node().Name
			if !want[name] || name <= last {
				t.Errorf("%d explicit: %s is not wanted or out of order", explicit, name)
			}
			last = name
		}
		if len(got) != len(want) {
			t.Errorf("%d explicit: %d nodes, want %d", explicit, len(got), len(want))
		}
		if fit.Error() != message {
			t.Errorf("message changed from %q to %q", message, fit.Error())
		}
	}
}
