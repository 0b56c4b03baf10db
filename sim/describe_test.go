package sim

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"orrery/sim/plan"
)

func TestAdmittingPools(t *testing.T) {
	const model = "nvidia.com/gpu.product"
	gpu := func(name, product string, taints ...plan.Taint) plan.Pool {
		return plan.Pool{Name: name, GPUsPerNode: 8, Resource: "nvidia.com/gpu",
			Labels: map[string]string{model: product}, Taints: taints}
	}
	amd := gpu("amd", "MI300X")
	amd.Resource = "amd.com/gpu"
	pools := []plan.Pool{{Name: "cpu"}, gpu("a", "A100"), gpu("h", "H100"), amd,
		gpu("kept", "A100", plan.Taint{Key: "team", Value: "x", Effect: "NoSchedule"},
			plan.Taint{Key: "soft", Effect: "PreferNoSchedule"})}
	pods := []plan.Pod{{Slots: 1, Resource: "nvidia.com/gpu"}}
	for name, tc := range map[string]struct {
		job  plan.Job
		want []string
	}{
		"resource": {plan.Job{Pods: pods}, []string{"a", "h"}},
		"tolerates": {plan.Job{Pods: pods, Tolerations: []plan.Toleration{{Operator: "Exists"}}},
			[]string{"a", "h", "kept"}},
		"all":   {plan.Job{Tolerations: []plan.Toleration{{Key: "team", Value: "x"}}}, nil},
		"value": {plan.Job{Tolerations: []plan.Toleration{{Key: "team", Value: "y"}}}, []string{"a", "h", "amd"}},
		"effect": {plan.Job{Tolerations: []plan.Toleration{{Operator: "Exists", Effect: "NoExecute"}}},
			[]string{"a", "h", "amd"}},
		"model": {plan.Job{Pods: pods,
			Require: []plan.Requirement{{Key: model, Values: []string{"H100", "V100"}}}},
			[]string{"h"}},
		"nothing": {plan.Job{Require: []plan.Requirement{{Key: model, Values: []string{"V100"}}}}, []string{""}},
		"node label": {plan.Job{Pods: pods, Require: []plan.Requirement{{Key: "rack", Values: []string{"r1"}}}},
			[]string{"a", "h"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, admittingPools(pools, &tc.job)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMIGProfile(t *testing.T) {
	for resource, want := range map[string]string{"nvidia.com/gpu": "", "nvidia.com/mig-1g.10gb": "1g.10gb",
		"nvidia.com/mig-1g.10gb.me": "1g.10gb+me", "": "", "nvidia.com/single": "1g.5gb"} {
		pools := []plan.Pool{{GPUsPerNode: 1, Resource: "nvidia.com/gpu", SlotsPerGPU: 1}, {GPUsPerNode: 1,
			Slots: map[int][]plan.Slot{0: {{Resource: "nvidia.com/single", Profile: "1g.5gb", Share: 142, Slices: 1}}}}}
		if got := migProfile(pools, resource); got != want {
			t.Errorf("%s: got %q, want %q", resource, got, want)
		}
	}
}
