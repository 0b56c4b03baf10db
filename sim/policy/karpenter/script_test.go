package karpenter

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"orrery/sim/plan"
	"orrery/sim/units"
)

// TestScripts plays testdata/*: what Karpenter does over time, told by what the cloud is asked for and by its own words.
//
//	new [spot] [reserved] [types=9] [gates=…] [boot=20m] [talk]   a cluster with h100s, so many more types of one GPU, how
//	                                             long a boot takes, and whether it is told why nodes are not consolidated
//	apply                                        creates the objects of the manifest, or changes their specs
//	pods app=a n=3 gpus=1 [select=k:v] [tolerate=key] [keep=true|10m] [grace=30s]   creates pods; keep = do-not-disrupt
//	scale app=a n=2                              leaves so many of them
//	budget app=a allowed=0                       makes or changes a PodDisruptionBudget as its controller would
//	untaint key=k                                takes a taint off all nodes
//	stock out=h100.1x/z1/spot                    takes an offering out of stock, in=… brings it back
//	interrupt node=i                             takes back the i-th machine, two minutes from now
//	run d=10m                                    lets time pass, and says what happened
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var steps []datadriven.TestData
		datadriven.RunTestFromString(t, string(text), func(_ *testing.T, d *datadriven.TestData) string {
			steps = append(steps, *d)
			return d.Expected
		})
		said := playScript(t, steps)
		datadriven.RunTest(t, path, func(_ *testing.T, _ *datadriven.TestData) string {
			out := said[0]
			said = said[1:]
			return out
		})
	})
}

// playScript plays all steps and returns what each says.
func playScript(t *testing.T, steps []datadriven.TestData) []string {
	kinds := []string{plan.CapacityOnDemand}
	flags := plan.Karpenter{}
	var boot units.Duration
	more, talk := 0, false
	for _, a := range steps[0].CmdArgs {
		switch a.Key {
		case plan.CapacitySpot, plan.CapacityReserved:
			kinds = append([]string{a.Key}, kinds...)
		case "gates":
			flags.FeatureGates = strings.Join(a.Vals, ",")
		case "boot":
			boot = duration(t, a.Vals[0])
		case "talk":
			talk = true
		case "types":
			_, _ = fmt.Sscan(a.Vals[0], &more)
		}
	}
	out := []string{""}
	types := h100s(kinds...)
	for i := range more {
		types = append(types, gpuType(fmt.Sprintf("h100.1x-%02d", i), 1, 4+float64(i)/8, kinds...))
	}
	play(&world{t: t, talk: talk}, flags, types, func(w *world) error {
		if boot > 0 {
			w.cloud.boot = boot
		}
		for i := range steps[1:] {
			text, err := w.step(t, &steps[i+1])
			if err != nil {
				return fmt.Errorf("%s: %w", steps[i+1].Pos, err)
			}
			out = append(out, text)
		}
		return nil
	})
	return out
}

func duration(t testing.TB, text string) units.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// args are the arguments of a step.
type args map[string]string

func argsOf(d *datadriven.TestData) args {
	out := args{}
	for _, a := range d.CmdArgs {
		out[a.Key] = strings.Join(a.Vals, ",")
	}
	return out
}

func (a args) number(key string) (n int) {
	_, _ = fmt.Sscan(a[key], &n)
	return n
}

func (w *world) step(t *testing.T, d *datadriven.TestData) (string, error) {
	a := argsOf(d)
	switch d.Cmd {
	case "apply":
		return "", w.apply(d.Input)
	case "pods":
		w.podsStep(a)
	case "scale":
		w.scale(a["app"], a.number("n"))
	case "budget":
		return "", w.budget(a["app"], int32(a.number("allowed")))
	case "untaint":
		return "", w.untaint(a["key"])
	case "stock":
		for _, arg := range d.CmdArgs {
			part := strings.Split(arg.Vals[0], "/")
			w.cloud.out[market{part[0], part[1], part[2]}] = arg.Key == "out"
		}
	case "interrupt":
		m := w.cloud.machines[a.number("node")]
		w.note("cloud: %s will be taken back", m.Node)
		w.k.Interrupt(m)
	case "run":
		w.log = nil
		if err := w.run(duration(t, a["d"])); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s\n--\n%s\n", strings.Join(w.log, "\n"), w.show()), nil
	default:
		return "", fmt.Errorf("no step %q", d.Cmd)
	}
	return "", nil
}

func (w *world) podsStep(a args) {
	spec := gpuPod(a.number("gpus"))
	if key, value, ok := strings.Cut(a["select"], ":"); ok {
		spec.NodeSelector = map[string]string{key: value}
	}
	if key := a["tolerate"]; key != "" {
		spec.Tolerations = []corev1.Toleration{{Key: key, Operator: corev1.TolerationOpExists}}
	}
	if a["grace"] != "" {
		seconds := int64(duration(w.t, a["grace"]).Seconds())
		spec.TerminationGracePeriodSeconds = &seconds
	}
	w.keep[a["app"]] = a["keep"]
	for range a.number("n") {
		w.pod(a["app"], spec)
	}
}

// budget makes or changes a PodDisruptionBudget of an app as the controller of those would.
func (w *world) budget(app string, allowed int32) error {
	gvr := policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
	obj, err := w.s.Get(gvr, "default", app)
	if err != nil {
		obj, err = w.s.Create(&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app},
			Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}})
	}
	if err != nil {
		return err
	}
	b := obj.(*policyv1.PodDisruptionBudget).DeepCopy()
	b.Status = policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed, ObservedGeneration: b.Generation,
		CurrentHealthy: allowed, DesiredHealthy: 1, ExpectedPods: 1}
	_, err = w.s.Update(b, "status")
	return err
}

// untaint takes a taint off all nodes.
func (w *world) untaint(key string) error {
	nodes, err := w.s.List(nodesGVR, "", nil, nil)
	for _, o := range nodes {
		n := o.(*corev1.Node).DeepCopy()
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
		if _, err := w.s.Update(n, ""); err != nil {
			return err
		}
	}
	return err
}
