package kube

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Every pod that runs was bound once, so the request that a typed client makes for it is answered here, with the least
// work and on little stack: upstream binds each pod in a goroutine of its own, whose stack would have to grow for what
// serves requests in general. The answers are the same.

// protobufMagic begins every object in Kubernetes' protobuf form (k8s.io/apimachinery, serializer/protobuf).
var protobufMagic = []byte("k8s\x00")

// bound is the encoded answer to a successful binding.
func (s *Store) bound() []byte {
	var buf bytes.Buffer
	_, _ = s.codecs.encode(success(), typeProtobuf, &buf) // a constant of ours
	return buf.Bytes()
}

// bind answers a request that is a plain binding in protobuf; nil when it is anything else, with its body as it was.
func (t roundTripper) bind(r *http.Request) *response {
	ns, name, ok := bindingPath(r)
	if !ok || r.ContentLength <= 0 || r.ContentLength > maxBody {
		return nil
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		body = nil
	}
	b := decodeBinding(body)
	if b == nil || b.Name != name {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
		return nil
	}
	var err error
	t.gate.run(bindingCall(ns, name), func() { err = t.store.Bind(ns, b) })
	if err == nil {
		return &response{code: http.StatusCreated, media: typeProtobuf, body: t.bound}
	}
	res := t.store.encoded(&answer{}, err, typeProtobuf)
	return &res
}

// bindingCall describes a binding to the gate.
func bindingCall(ns, name string) Call {
	return Call{Verb: "create", Resource: "pods", Namespace: ns, Name: name, Subresource: "binding"}
}

// bindingPath returns what the path of a typed client's binding names.
func bindingPath(r *http.Request) (ns, name string, ok bool) {
	rest, isPod := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/")
	rest, isBinding := strings.CutSuffix(rest, "/binding")
	ns, name, isOne := strings.Cut(rest, "/pods/")
	return ns, name, isPod && isBinding && isOne && r.Method == http.MethodPost && r.URL.RawQuery == "" &&
		r.URL.RawPath == "" && !strings.Contains(ns, "/") && !strings.Contains(name, "/") && name != "" &&
		r.Header.Get("Content-Type") == typeProtobuf && strings.HasPrefix(r.Header.Get("Accept"), typeProtobuf)
}

// decodeBinding decodes a binding in protobuf, or returns nil.
func decodeBinding(body []byte) *corev1.Binding {
	data, ok := bytes.CutPrefix(body, protobufMagic)
	if !ok {
		return nil
	}
	var envelope runtime.Unknown
	b := &corev1.Binding{}
	if envelope.Unmarshal(data) != nil || envelope.APIVersion != "v1" || envelope.Kind != "Binding" ||
		envelope.ContentEncoding != "" || b.Unmarshal(envelope.Raw) != nil {
		return nil
	}
	return b
}
