package kube

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// Call describes one request of a client.
type Call struct {
	Verb        string // get, list, watch, create, update, patch, delete or deletecollection
	Resource    string // e.g. "pods", "deployments.apps"
	Namespace   string
	Name        string // of a create: the name in the object sent, empty if the server generates it
	Subresource string
}

// String is a stable sort key.
func (c Call) String() string {
	return strings.Join([]string{c.Resource, c.Namespace, c.Name, c.Subresource, c.Verb}, "/")
}

// Gate decides when a request runs. It must call fn once, on any goroutine, before it returns; fn does not block. It is
// called on the client's goroutine while no lock is held. Events that are dropped do not pass it. A nil Gate runs fn at
// once.
type Gate func(c Call, fn func())

// run passes fn through the gate.
func (g Gate) run(c Call, fn func()) {
	if g == nil {
		fn()
		return
	}
	g(c, fn)
}

// request is one parsed request for a resource.
type request struct {
	kind    *kind
	version string // requested version; the stored one unless the client asks for another
	verb    string
	ns      string
	name    string
	sub     string
	query   url.Values
	body    []byte
	media   string // content type of the body
}

// call describes the request to the gate.
func (r *request) call() Call {
	resource := r.kind.gvr.Resource
	if r.kind.gvr.Group != "" {
		resource += "." + r.kind.gvr.Group
	}
	return Call{r.verb, resource, r.ns, r.name, r.sub}
}

// converted reports whether the client speaks another version than the stored one.
func (r *request) converted() bool { return r.version != r.kind.gvk.Version }

// gvk is the requested kind.
func (r *request) gvk() schema.GroupVersionKind { return r.kind.gvk.GroupKind().WithVersion(r.version) }

// dry reports whether the request asks for a dry run.
func (r *request) dry() bool { return len(r.query["dryRun"]) > 0 }

// notFoundPath is the answer to a path that is none of the API's.
func notFoundPath() error {
	return &apierrors.StatusError{ErrStatus: statusOf(http.StatusNotFound, metav1.StatusReasonNotFound,
		"the server could not find the requested resource")}
}

// statusOf makes a failure status.
func statusOf(code int32, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
}

// parse reads the path and query of a resource request: /api/v1/... or /apis/<group>/<version>/..., then
// [namespaces/<ns>/]<resource>[/<name>[/<subresource>]].
func (s *Store) parse(method string, u *url.URL) (*request, error) {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i, p := range parts {
		text, err := url.PathUnescape(p)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		parts[i] = text
	}
	var gv schema.GroupVersion
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		gv.Version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		gv.Group, gv.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return nil, notFoundPath()
	}
	r := &request{}
	if parts[0] == "namespaces" && len(parts) >= 3 && !namespaceSub[parts[2]] {
		r.ns, parts = parts[1], parts[2:]
	}
	if len(parts) > 3 {
		return nil, notFoundPath()
	}
	if err := s.resolve(r, gv, parts); err != nil {
		return nil, err
	}
	if u.RawQuery != "" {
		r.query = u.Query()
	}
	return r, r.setVerb(method)
}

// namespaceSub are the subresources of namespaces, which look like resources in a namespace.
var namespaceSub = map[string]bool{"status": true, "finalize": true}

// resolve finds the kind of a request.
func (s *Store) resolve(r *request, gv schema.GroupVersion, parts []string) error {
	if len(parts) > 1 {
		r.name = parts[1]
	}
	if len(parts) > 2 {
		r.sub = parts[2]
	}
	if gv.Group == "" && parts[0] == "bindings" && len(parts) == 1 {
		parts[0], r.sub = "pods", "binding" // the legacy collection of bindings
	}
	gvr := gv.WithResource(parts[0])
	r.kind, r.version = s.kinds.byGVR[gvr], gv.Version
	if r.kind == nil {
		k := s.kinds.byGR[gvr.GroupResource()]
		if k == nil || !legacyscheme.Scheme.Recognizes(gv.WithKind(k.gvk.Kind)) ||
			!s.kinds.scheme.Recognizes(gv.WithKind(k.gvk.Kind)) {
			return notFoundPath()
		}
		r.kind = k
	}
	if !r.kind.namespaced && r.ns != "" {
		return notFoundPath()
	}
	return nil
}

// setVerb finds the verb of a request.
func (r *request) setVerb(method string) error {
	named := r.name != ""
	switch {
	case method == http.MethodGet && named:
		r.verb = "get"
	case method == http.MethodGet && isTrue(r.query.Get("watch")):
		r.verb = "watch"
	case method == http.MethodGet:
		r.verb = "list"
	case method == http.MethodPost && (!named || r.sub != ""):
		r.verb = "create"
	case method == http.MethodPut && named:
		r.verb = "update"
	case method == http.MethodPatch && named:
		r.verb = "patch"
	case method == http.MethodDelete && named:
		r.verb = "delete"
	case method == http.MethodDelete:
		r.verb = "deletecollection"
	default:
		return &apierrors.StatusError{ErrStatus: statusOf(http.StatusMethodNotAllowed,
			metav1.StatusReasonMethodNotAllowed, "the server does not allow this method on the requested resource")}
	}
	return nil
}

func isTrue(v string) bool { return v == "true" || v == "1" }

// selection reads the selectors of a list or watch. A get with watch=true does not exist here: clients watch one
// object with a field selector.
func (r *request) selection() (selection, error) {
	ls, err := labels.Parse(r.query.Get("labelSelector"))
	if err != nil {
		return selection{}, apierrors.NewBadRequest(fmt.Sprintf("unable to parse labelSelector: %v", err))
	}
	fs, err := fields.ParseSelector(r.query.Get("fieldSelector"))
	if err != nil {
		return selection{}, apierrors.NewBadRequest(fmt.Sprintf("unable to parse fieldSelector: %v", err))
	}
	return newSelection(r.kind, r.ns, ls, fs)
}
