package kube

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// answer is what a request leads to: an object, or a watch.
type answer struct {
	code  int
	obj   runtime.Object // with its type meta set
	raw   any            // instead of obj: plain JSON
	watch *watcher
	req   *request
}

// maxBody is the size limit of a request body (upstream's default MaxRequestBodyBytes).
const maxBody = 3 << 20

// serve answers one HTTP request, up to the encoding.
func (s *Store) serve(gate Gate, hr *http.Request) (*answer, error) {
	if a := s.discover(hr.URL.Path); a != nil {
		return a, nil
	}
	r, err := s.parse(hr.Method, hr.URL)
	if err != nil {
		return nil, err
	}
	if hr.Body != nil {
		r.media = hr.Header.Get("Content-Type")
		r.body, err = io.ReadAll(io.LimitReader(hr.Body, maxBody+1))
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		if len(r.body) > maxBody {
			return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
		}
	}
	switch r.verb {
	case "get", "list", "watch":
		return s.serveRead(gate, r)
	case "create", "update":
		return s.serveWrite(gate, r)
	case "patch":
		return s.servePatch(gate, r)
	}
	return s.serveDelete(gate, r)
}

// serveRead answers get, list and watch.
func (s *Store) serveRead(gate Gate, r *request) (a *answer, err error) {
	if r.verb == "get" {
		var obj runtime.Object
		gate.run(r.call(), func() { obj, err = s.readOne(r) })
		if err != nil {
			return nil, err
		}
		return s.reply(r, http.StatusOK, obj)
	}
	sel, err := r.selection()
	if err != nil {
		return nil, err
	}
	if r.verb == "watch" {
		start := watchStart{rv: r.query.Get("resourceVersion"), initial: isTrue(r.query.Get("sendInitialEvents")),
			bookmark: isTrue(r.query.Get("allowWatchBookmarks"))}
		var w *watcher
		gate.run(r.call(), func() { w, err = s.watch(r.kind, sel, start) })
		if err != nil {
			return nil, err
		}
		return &answer{code: http.StatusOK, watch: w, req: r}, nil
	}
	var objs []runtime.Object
	var rv uint64
	gate.run(r.call(), func() { objs, rv = s.list(r.kind, sel) })
	list, err := s.listObject(r, objs, rv)
	return &answer{code: http.StatusOK, obj: list, req: r}, err
}

// readOne gets an object or its scale.
func (s *Store) readOne(r *request) (runtime.Object, error) {
	switch r.sub {
	case "scale":
		return s.scale(r.kind, r.ns, r.name)
	case "", "status", "resize", "ephemeralcontainers":
	default:
		return nil, subresourceMissing(r.kind, r.sub)
	}
	obj := s.peek(r.kind, r.ns, r.name)
	if obj == nil {
		return nil, apierrors.NewNotFound(r.kind.gvr.GroupResource(), r.name)
	}
	return obj, nil
}

// listObject makes the list of a kind in the requested version.
func (s *Store) listObject(r *request, objs []runtime.Object, rv uint64) (runtime.Object, error) {
	gvk := r.gvk()
	gvk.Kind += "List"
	list, err := s.kinds.scheme.New(gvk)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	items := reflect.ValueOf(list).Elem().FieldByName("Items")
	items.Set(reflect.MakeSlice(items.Type(), len(objs), len(objs)))
	for i, obj := range objs {
		if r.converted() {
			if obj, err = convert(obj, r.gvk()); err != nil {
				return nil, err
			}
			obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
		}
		items.Index(i).Set(reflect.ValueOf(obj).Elem())
	}
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	m.SetResourceVersion(strconv.FormatUint(rv, 10))
	list.GetObjectKind().SetGroupVersionKind(gvk)
	return list, nil
}

// reply makes the answer that carries obj.
func (s *Store) reply(r *request, code int, obj runtime.Object) (*answer, error) {
	out, err := s.presented(r, obj)
	return &answer{code: code, obj: out, req: r}, err
}

// presented is obj in the requested version, with type meta, in memory of its own as far as that is changed.
func (s *Store) presented(r *request, obj runtime.Object) (runtime.Object, error) {
	k, err := s.kinds.of(obj)
	if err != nil || k != r.kind {
		return obj, nil // a Status or Scale, made for this answer
	}
	if r.converted() {
		return convert(obj, r.gvk())
	}
	out := k.shallow(obj)
	out.GetObjectKind().SetGroupVersionKind(k.gvk)
	return out, nil
}

// convert converts between versions of a built-in kind, through upstream's internal type, and sets the type meta. The
// result is a deep copy.
func convert(obj runtime.Object, to schema.GroupVersionKind) (runtime.Object, error) {
	in, err := legacyscheme.Scheme.ConvertToVersion(obj.DeepCopyObject(),
		schema.GroupVersion{Group: to.Group, Version: runtime.APIVersionInternal})
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out, err := legacyscheme.Scheme.ConvertToVersion(in, to.GroupVersion())
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out.GetObjectKind().SetGroupVersionKind(to)
	return out, nil
}

// serveWrite answers create and update.
func (s *Store) serveWrite(gate Gate, r *request) (*answer, error) {
	strict := r.query.Get("fieldValidation") == metav1.FieldValidationStrict
	obj, err := s.codecs.decode(r.body, r.media, r.bodyKind(), strict)
	if err != nil {
		return nil, err
	}
	switch o := obj.(type) {
	case *corev1.Binding:
		return s.serveBinding(gate, r, o)
	case *policyv1.Eviction:
		return s.serveEviction(gate, r, o)
	case *autoscalingv1.Scale:
		return s.serveScale(gate, r, o)
	}
	if r.converted() {
		if obj, err = convert(obj, r.kind.gvk); err != nil {
			return nil, err
		}
	}
	if err := r.checkBody(s, obj); err != nil {
		return nil, err
	}
	var out runtime.Object
	code := http.StatusOK
	if s.dropsEvents(r.kind) {
		gate = nil // nothing happens in the cluster, so nobody needs to order it
	}
	gate.run(r.call(), func() {
		if r.verb == "create" {
			code = http.StatusCreated
			out, err = s.create(r.kind, obj, r.dry())
			return
		}
		out, err = s.update(r.kind, obj, r.sub, r.dry())
	})
	if err != nil {
		return nil, err
	}
	return s.reply(r, code, out)
}

// bodyKind is the kind a body has that does not say so.
func (r *request) bodyKind() schema.GroupVersionKind {
	switch r.sub {
	case "binding":
		return corev1.SchemeGroupVersion.WithKind("Binding")
	case "eviction":
		return policyv1.SchemeGroupVersion.WithKind("Eviction")
	case "scale":
		return autoscalingv1.SchemeGroupVersion.WithKind("Scale")
	}
	return r.gvk()
}

// checkBody checks that the object sent is the one the path names, and completes either from the other.
func (r *request) checkBody(s *Store, obj runtime.Object) error {
	k, err := s.kinds.of(obj)
	if err != nil || k != r.kind {
		return apierrors.NewBadRequest(fmt.Sprintf("the object sent is a %T, not a %s", obj, r.kind.gvk.Kind))
	}
	if r.verb == "create" && r.sub != "" {
		return subresourceMissing(r.kind, r.sub)
	}
	m := obj.(metav1.Object)
	switch {
	case !r.kind.namespaced:
	case m.GetNamespace() == "":
		m.SetNamespace(r.ns)
	case r.ns != m.GetNamespace():
		return apierrors.NewBadRequest(
			"the namespace of the provided object does not match the namespace sent on the request")
	}
	switch {
	case r.verb == "create":
		r.name = m.GetName()
	case m.GetName() == "":
		m.SetName(r.name)
	case m.GetName() != r.name:
		return apierrors.NewBadRequest(fmt.Sprintf(
			"the name of the object (%s) does not match the name on the URL (%s)", m.GetName(), r.name))
	}
	return nil
}

// success is the Status of a request without a result of its own.
func success() *metav1.Status {
	st := &metav1.Status{Status: metav1.StatusSuccess}
	st.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Status"})
	return st
}

// serveBinding answers a create of pods/binding.
func (s *Store) serveBinding(gate Gate, r *request, b *corev1.Binding) (*answer, error) {
	if r.kind.gvr != podsGVR || r.sub != "binding" || r.verb != "create" {
		return nil, subresourceMissing(r.kind, r.sub)
	}
	if r.name == "" {
		r.name = b.Name
	}
	if b.Name != r.name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	var err error
	if !r.dry() {
		gate.run(r.call(), func() { err = s.Bind(r.ns, b) })
	}
	return &answer{code: http.StatusCreated, obj: success(), req: r}, err
}

// serveEviction answers a create of pods/eviction.
func (s *Store) serveEviction(gate Gate, r *request, e *policyv1.Eviction) (*answer, error) {
	if r.kind.gvr != podsGVR || r.sub != "eviction" || r.verb != "create" {
		return nil, subresourceMissing(r.kind, r.sub)
	}
	if e.Name != r.name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	if r.dry() {
		o := metav1.DeleteOptions{}
		if e.DeleteOptions != nil {
			o = *e.DeleteOptions
		}
		o.DryRun = r.query["dryRun"]
		e.DeleteOptions = &o
	}
	var err error
	gate.run(r.call(), func() { err = s.Evict(r.ns, e) })
	return &answer{code: http.StatusCreated, obj: success(), req: r}, err
}

// serveScale answers an update of a scale.
func (s *Store) serveScale(gate Gate, r *request, sc *autoscalingv1.Scale) (*answer, error) {
	if r.sub != "scale" || r.verb != "update" {
		return nil, subresourceMissing(r.kind, r.sub)
	}
	sc.Namespace, sc.Name = r.ns, r.name
	var out *autoscalingv1.Scale
	var err error
	gate.run(r.call(), func() { out, err = s.updateScale(r.kind, sc, r.dry()) })
	if err != nil {
		return nil, err
	}
	return &answer{code: http.StatusOK, obj: out, req: r}, nil
}

// servePatch answers a patch.
func (s *Store) servePatch(gate Gate, r *request) (*answer, error) {
	o := metav1.PatchOptions{DryRun: r.query["dryRun"], FieldManager: r.query.Get("fieldManager")}
	if v := r.query.Get("force"); v != "" {
		force := isTrue(v)
		o.Force = &force
	}
	p := patch{kind: r.kind, version: r.version, ns: r.ns, name: r.name, sub: r.sub, data: r.body,
		options: o, strict: r.query.Get("fieldValidation") == metav1.FieldValidationStrict}
	var ok bool
	if p.media, ok = patchType(r.media); !ok {
		return nil, unsupportedMediaType(r.media, string(types.JSONPatchType), string(types.MergePatchType),
			string(types.StrategicMergePatchType), string(types.ApplyPatchType))
	}
	var out runtime.Object
	var created bool
	var err error
	if s.dropsEvents(r.kind) {
		gate = nil
	}
	gate.run(r.call(), func() { out, created, err = s.patch(p) })
	if err != nil {
		return nil, err
	}
	code := http.StatusOK
	if created {
		code = http.StatusCreated
	}
	return s.reply(r, code, out)
}

// serveDelete answers delete and deletecollection.
func (s *Store) serveDelete(gate Gate, r *request) (*answer, error) {
	o := &metav1.DeleteOptions{}
	if len(r.body) > 0 {
		obj, err := s.codecs.decode(r.body, r.media, metav1.SchemeGroupVersion.WithKind("DeleteOptions"), false)
		if err != nil {
			return nil, err
		}
		given, ok := obj.(*metav1.DeleteOptions)
		if !ok {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("decoded object cannot be converted to DeleteOptions: %T", obj))
		}
		o = given
	} else if err := deleteOptionsOf(r, o); err != nil {
		return nil, err
	}
	if r.dry() {
		o.DryRun = r.query["dryRun"]
	}
	if r.sub != "" {
		return nil, subresourceMissing(r.kind, r.sub)
	}
	if r.verb == "deletecollection" {
		sel, err := r.selection()
		if err != nil {
			return nil, err
		}
		gate.run(r.call(), func() { err = s.deleteCollection(r.kind, sel, o) })
		return &answer{code: http.StatusOK, obj: success(), req: r}, err
	}
	var out runtime.Object
	var err error
	gate.run(r.call(), func() { out, err = s.delete(r.kind, r.ns, r.name, o) })
	if err != nil {
		return nil, err
	}
	return s.reply(r, http.StatusOK, out)
}

// deleteOptionsOf reads delete options from the query.
func deleteOptionsOf(r *request, o *metav1.DeleteOptions) error {
	if v := r.query.Get("gracePeriodSeconds"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return apierrors.NewBadRequest(fmt.Sprintf("gracePeriodSeconds %q is not a number", v))
		}
		o.GracePeriodSeconds = &n
	}
	if v := r.query.Get("propagationPolicy"); v != "" {
		policy := metav1.DeletionPropagation(v)
		o.PropagationPolicy = &policy
	}
	return nil
}

// statusError turns any error into the Status the client gets.
func statusError(err error) *metav1.Status {
	var api apierrors.APIStatus
	st := metav1.Status{}
	if errors.As(err, &api) {
		st = api.Status()
	} else {
		st = apierrors.NewInternalError(err).Status()
	}
	st.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Status"})
	return &st
}
