package kube

import (
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// patch is one patch request.
type patch struct {
	kind    *kind
	version string // version of the patch
	ns      string
	name    string
	sub     string
	media   types.PatchType
	data    []byte
	options metav1.PatchOptions
	strict  bool
}

// Patch changes part of an object and returns it as stored, to be read only. A server-side apply
// (types.ApplyPatchType) creates the object if it does not exist. sub is the subresource, "" for the object itself; a
// patch of the scale returns the object.
func (s *Store) Patch(gvr schema.GroupVersionResource, ns, name string, pt types.PatchType, data []byte, sub string,
	o metav1.PatchOptions) (runtime.Object, error) {
	k, err := s.lookup(gvr)
	if err != nil {
		return nil, err
	}
	out, _, err := s.patch(patch{kind: k, version: k.gvk.Version, ns: ns, name: name, sub: sub, media: pt, data: data,
		options: o})
	return out, err
}

// patchType reads the content type of a patch.
func patchType(media string) (types.PatchType, bool) {
	m, _, err := mime.ParseMediaType(media)
	if err != nil {
		return "", false
	}
	switch pt := types.PatchType(m); pt {
	case types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyPatchType:
		return pt, true
	}
	return "", false
}

// patch runs a patch and reports whether it created the object.
func (s *Store) patch(p patch) (out runtime.Object, created bool, err error) {
	if s.dropsEvents(p.kind) {
		obj := p.kind.newObject()
		m := obj.(metav1.Object)
		m.SetNamespace(p.ns)
		m.SetName(p.name)
		return s.dropEvent(p.kind, obj), false, nil
	}
	err = s.transact(func() error {
		out, created, err = s.patchLocked(p)
		return err
	})
	return out, created, err
}

// patchLocked is patch for callers that hold write.
func (s *Store) patchLocked(p patch) (runtime.Object, bool, error) {
	dry := len(p.options.DryRun) > 0
	old := s.peek(p.kind, p.ns, p.name)
	if p.media == types.ApplyPatchType {
		return s.apply(p, old, dry)
	}
	if old == nil {
		return nil, false, apierrors.NewNotFound(p.kind.gvr.GroupResource(), p.name)
	}
	if p.sub == "scale" {
		out, err := s.patchScale(p, old, dry)
		return out, false, err
	}
	obj := p.copyOf(old)
	if p.version != p.kind.gvk.Version {
		view, err := convert(old, p.kind.gvk.GroupKind().WithVersion(p.version))
		if err != nil {
			return nil, false, err
		}
		if view, err = p.applyTo(view); err != nil {
			return nil, false, err
		}
		if obj, err = convert(view, p.kind.gvk); err != nil {
			return nil, false, err
		}
	} else {
		var err error
		if obj, err = p.applyTo(obj); err != nil {
			return nil, false, err
		}
	}
	if err := p.checkIdentity(obj); err != nil {
		return nil, false, err
	}
	if p.sharing() {
		if checkVersion(p.kind, obj.(metav1.Object), old.(metav1.Object), p.sub) == nil &&
			s.quickStatus(old.(*corev1.Pod), obj.(*corev1.Pod)) {
			out, err := s.put(p.kind, old, obj, p.sub, dry)
			return out, false, err
		}
		obj = obj.DeepCopyObject()
	}
	setDefaults(p.kind, obj, p.sub)
	out, err := s.replace(p.kind, old, obj, p.sub, dry)
	return out, false, err
}

// sharing reports whether the patch works on an object that shares memory with the stored one. Merging replaces what a
// patch names and changes nothing in place, so for the status of pods, which is seldom looked at by upstream, that will
// do.
func (p *patch) sharing() bool {
	return p.kind.gvr == podsGVR && p.sub == "status" && p.version == p.kind.gvk.Version &&
		p.media != types.JSONPatchType
}

// copyOf returns the copy of a stored object that is patched.
func (p *patch) copyOf(old runtime.Object) runtime.Object {
	if p.sharing() {
		return p.kind.shallow(old)
	}
	return old.DeepCopyObject()
}

// checkIdentity checks that the patch left the object where it was.
func (p *patch) checkIdentity(obj runtime.Object) error {
	m := obj.(metav1.Object)
	if m.GetName() != p.name {
		return apierrors.NewBadRequest(fmt.Sprintf(
			"the name of the object (%s) does not match the name on the URL (%s)", m.GetName(), p.name))
	}
	if p.kind.namespaced && m.GetNamespace() != p.ns {
		return apierrors.NewBadRequest(
			"the namespace of the provided object does not match the namespace sent on the request")
	}
	return nil
}

// patchScale patches the scale of an object.
func (s *Store) patchScale(p patch, old runtime.Object, dry bool) (runtime.Object, error) {
	if _, err := s.scale(p.kind, p.ns, p.name); err != nil {
		return nil, err
	}
	view, err := p.applyTo(scaleOf(old))
	if err != nil {
		return nil, err
	}
	sc := view.(*autoscalingv1.Scale)
	sc.Namespace, sc.Name = p.ns, p.name
	return s.updateScaleLocked(p.kind, sc, dry)
}

// applyTo applies a JSON, merge or strategic patch to obj, which it may change, and returns the result.
func (p *patch) applyTo(obj runtime.Object) (runtime.Object, error) {
	switch p.media {
	case types.JSONPatchType:
		return p.applyJSON(obj)
	case types.StrategicMergePatchType:
		if !p.kind.upstream {
			return nil, unsupportedMediaType(string(p.media), string(types.JSONPatchType),
				string(types.MergePatchType), string(types.ApplyPatchType))
		}
		return obj, mergeInto(obj, p.data, strategicMerge)
	case types.MergePatchType:
		return obj, mergeInto(obj, p.data, plainMerge)
	}
	return nil, unsupportedMediaType(string(p.media), string(types.JSONPatchType), string(types.MergePatchType),
		string(types.StrategicMergePatchType), string(types.ApplyPatchType))
}

// applyJSON applies an RFC 6902 patch.
func (p *patch) applyJSON(obj runtime.Object) (runtime.Object, error) {
	ops, err := jsonpatch.DecodePatch(p.data)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	before, err := json.Marshal(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	after, err := ops.Apply(before)
	if err != nil {
		return nil, apierrors.NewGenericServerResponse(422, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	out := newLike(obj)
	if err := json.Unmarshal(after, out); err != nil {
		return nil, invalidPatch(p.data, err)
	}
	return out, nil
}

// invalidPatch is the answer to a patch whose result is no object of the kind.
func invalidPatch(data []byte, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), strings.TrimSpace(string(data)), err.Error())})
}
