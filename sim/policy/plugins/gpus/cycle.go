package gpus

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	fwk "k8s.io/kube-scheduler/framework"

	"orrery/sim/kube/gpushare"
)

// chosen carries a Choose from one plugin to another through a scheduling cycle.
type chosen struct{ choose Choose }

// Clone implements fwk.StateData: nothing in it ever changes.
func (c *chosen) Clone() fwk.StateData { return c }

const stateKey fwk.StateKey = "orrery/gpu-choice"

// SetChoice has the GPUShare plugin choose GPUs in this scheduling cycle as choose says. A policy calls it in
// PreFilter, which runs in every cycle; PreScore and Score do not run when only one node fits.
func SetChoice(state fwk.CycleState, choose Choose) { state.Write(stateKey, &chosen{choose}) }

// Choice returns what SetChoice set, else BestFit.
func Choice(state fwk.CycleState) Choose {
	if data, err := state.Read(stateKey); err == nil {
		if c, ok := data.(*chosen); ok {
			return c.choose
		}
	}
	return BestFit
}

// Sign returns what a plugin looks at in a pod that looks at nothing but its annotations for GPUs and its CPU request,
// which is in kube-scheduler's own signature.
func Sign(pod *v1.Pod) []fwk.SignFragment {
	a := pod.Annotations
	return []fwk.SignFragment{{Key: "v1.Pod.Annotations.GPUShare()",
		Value: []string{a[gpushare.Count], a[gpushare.Milli], a[gpushare.Model]}}}
}

// Ask is what a pod asks for, as far as placing GPUs goes.
type Ask struct {
	gpushare.Request
	CPUMilli int64
}

// Clone implements fwk.StateData: nothing in it ever changes.
func (a *Ask) Clone() fwk.StateData { return a }

const askKey fwk.StateKey = "orrery/gpu-ask"

// Asked returns what the pod of a scheduling cycle asks for; it is worked out once a cycle. Annotations that nobody can
// read ask for nothing: the plugin GPUShare refuses such a pod.
func Asked(state fwk.CycleState, pod *v1.Pod) *Ask {
	if data, err := state.Read(askKey); err == nil {
		if a, ok := data.(*Ask); ok {
			return a
		}
	}
	requests := resource.PodRequests(pod, resource.PodResourcesOptions{})
	a := &Ask{CPUMilli: requests.Cpu().MilliValue()}
	if r, err := gpushare.Parse(pod.Annotations); err == nil {
		a.Request = r
	}
	state.Write(askKey, a)
	return a
}

// Local makes a plugin one that looks at nothing of a pod but what it asks for, and where it may stand: embed it.
type Local struct{}

// NodeLocal implements incremental.NodeLocal.
func (Local) NodeLocal(pod *v1.Pod) []fwk.SignFragment { return Sign(pod) }

// SignPod implements fwk.SignPlugin.
func (Local) SignPod(_ context.Context, pod *v1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	return Sign(pod), nil
}
