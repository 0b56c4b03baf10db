package sim

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"orrery/sim/kube"
	"orrery/sim/kwok/dra"
	"orrery/sim/plan"
	"orrery/sim/policy/resourceclaim"
)

// claimTemplates are the ResourceClaimTemplates made so far, by namespace and name. One is made of each shape of claim
// and namespace, when the first pod asks for it.
type claimTemplates map[[2]string]bool

// claims returns a pod's claims by their templates, and makes templates that are not there yet.
func (c *cluster) claims(namespace string, claims []plan.Claim) ([]kube.PodClaim, error) {
	var out []kube.PodClaim
	for _, claim := range claims {
		name := templateName(claim)
		if key := [2]string{namespace, name}; !c.templates[key] {
			if _, err := c.store.Create(claimTemplate(namespace, name, claim)); err != nil {
				return nil, fmt.Errorf("creating the template of claim %s: %w", claim.Name, err)
			}
			c.templates[key] = true
		}
		out = append(out, kube.PodClaim{Name: claim.Name, Template: name})
	}
	return out, nil
}

// templateName names a template after what it asks for.
func templateName(claim plan.Claim) string {
	text, err := json.Marshal(claim)
	if err != nil {
		panic(fmt.Sprintf("sim: a claim has no JSON form: %v", err))
	}
	return fmt.Sprintf("%s-%x", claim.Name, sha256.Sum256(text))[:len(claim.Name)+9]
}

func claimTemplate(namespace, name string, claim plan.Claim) *resourcev1.ResourceClaimTemplate {
	request := resourcev1.DeviceRequest{Name: claim.Name}
	if len(claim.Any) == 1 {
		a := claim.Any[0]
		request.Exactly = &resourcev1.ExactDeviceRequest{DeviceClassName: a.Class, Selectors: selectors(a),
			AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: int64(a.Count)}
	} else {
		for _, a := range claim.Any {
			request.FirstAvailable = append(request.FirstAvailable, resourcev1.DeviceSubRequest{Name: a.Name,
				DeviceClassName: a.Class, Selectors: selectors(a),
				AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: int64(a.Count)})
		}
	}
	return &resourcev1.ResourceClaimTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: resourcev1.ResourceClaimTemplateSpec{Spec: resourcev1.ResourceClaimSpec{
			Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{request}}}}}
}

func selectors(a plan.DeviceRequest) (out []resourcev1.DeviceSelector) {
	for _, expression := range a.Selectors {
		out = append(out, resourcev1.DeviceSelector{CEL: &resourcev1.CELDeviceSelector{Expression: expression}})
	}
	return out
}

// unsupportedClaim says what of an object's use of resource claims cannot be or a run does not simulate, and what to
// write instead; "" = nothing. Devices have one owner at a time, and how many a pod asks for is known when it is made.
func unsupportedClaim(obj runtime.Object) string {
	switch o := obj.(type) {
	case *corev1.Pod:
		return sharedClaim(o.Spec.ResourceClaims)
	case *batchv1.Job:
		return sharedClaim(o.Spec.Template.Spec.ResourceClaims)
	case *dra.ComputeDomain:
		switch {
		case o.Spec.NumNodes < 0:
			return fmt.Sprintf("spec.numNodes: %d; write 0", o.Spec.NumNodes)
		case o.Spec.Channel.ResourceClaimTemplate.Name == "":
			return "spec.channel.resourceClaimTemplate.name is missing; add it, and name it in the pods of the domain"
		}
	case *resourcev1.ResourceClaimTemplate:
		for _, r := range o.Spec.Spec.Devices.Requests {
			if r.Exactly != nil && (r.Exactly.AllocationMode == resourcev1.DeviceAllocationModeAll ||
				r.Exactly.AdminAccess != nil && *r.Exactly.AdminAccess) {
				return fmt.Sprintf("request %s: allocationMode All and adminAccess are not simulated; write a count", r.Name)
			}
			for _, sub := range r.FirstAvailable {
				if sub.AllocationMode == resourcev1.DeviceAllocationModeAll || sub.Count != r.FirstAvailable[0].Count {
					return fmt.Sprintf("request %s: alternatives of different numbers of devices are not simulated; give %s the "+
						"same count as the first", r.Name, sub.Name)
				}
			}
		}
	}
	return ""
}

// sharedClaim says which of a pod's claims other pods could name, too.
func sharedClaim(claims []corev1.PodResourceClaim) string {
	for _, c := range claims {
		if c.ResourceClaimName != nil {
			return fmt.Sprintf("claim %s: devices that pods share by naming one ResourceClaim are not simulated; name a "+
				"resourceClaimTemplateName", c.Name)
		}
	}
	return ""
}

// profileAsked returns the MIG profile of which a pod asks for partitions, by the first alternative of its claims or by
// an extended resource; "" = none.
func profileAsked(pools []plan.Pool, p plan.Pod) string {
	if len(p.Claims) > 0 {
		return p.Claims[0].Any[0].MIG
	}
	return migProfile(pools, p.Resource)
}

// offersClaims reports whether nodes of a pool have devices for all of a pod's claims.
func offersClaims(p *plan.Pool, claims []plan.Claim) bool {
	for _, c := range claims {
		if !slices.ContainsFunc(c.Any, func(a plan.DeviceRequest) bool {
			return p.Driver == plan.DriverDRA && a.Device == p.DRA.Device && (a.Model == "" || a.Model == p.GPUModel) &&
				(a.MIG == "" || p.DRA.DynamicMIG || hasInstances(p, a.MIG))
		}) {
			return false
		}
	}
	return true
}

// hasInstances reports whether nodes of a pool are divided into MIG instances of the profile, among others.
func hasInstances(p *plan.Pool, profile string) bool {
	for _, list := range p.Slots {
		if slices.ContainsFunc(list, func(s plan.Slot) bool { return s.Profile == profile }) {
			return true
		}
	}
	return false
}

// buildClaims starts the controller of resource claims, when anything in the run can have some.
func (c *cluster) buildClaims() error {
	if !c.hasDRA() {
		return nil
	}
	gate := c.limited(resourceclaim.QPS, resourceclaim.Burst)
	var err error
	c.claimController, err = resourceclaim.Start(resourceclaim.Params{Client: c.store.RESTConfig(gate),
		Informers: func(cs kubernetes.Interface) informers.SharedInformerFactory {
			return c.store.InformerFactory(cs, kube.Deliver(c.deliver), kube.AllPods())
		}})
	return err
}

// hasDRA reports whether a pool's devices are offered by DRA, or a manifest is about it.
func (c *cluster) hasDRA() bool {
	for _, p := range c.plan.Pools {
		if p.Driver == plan.DriverDRA {
			return true
		}
	}
	for _, m := range c.parts.manifests {
		switch m.object.(type) {
		case *resourcev1.ResourceClaim, *resourcev1.ResourceClaimTemplate, *resourcev1.ResourceSlice,
			*resourcev1.DeviceClass:
			return true
		}
	}
	return false
}
