package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RESTConfig returns the configuration of a client of this store. Its transport answers requests in process, on the
// client's goroutine, without sockets. It has no client-side rate limit and asks for protobuf; set QPS, UserAgent and
// the like on a copy.
func (s *Store) RESTConfig(gate Gate) *rest.Config {
	return &rest.Config{
		Host:      "http://kube.invalid", // RFC 6761: a name that never resolves; nothing is dialled
		Transport: roundTripper{s, gate, s.bound()},
		QPS:       -1,
		ContentConfig: rest.ContentConfig{
			ContentType:        typeProtobuf,
			AcceptContentTypes: typeProtobuf + "," + typeJSON,
		},
	}
}

// Clientset returns a typed client of this store.
func (s *Store) Clientset(gate Gate) (kubernetes.Interface, error) {
	cs, err := kubernetes.NewForConfig(s.RESTConfig(gate))
	if err != nil {
		return nil, fmt.Errorf("kube: building a client: %w", err)
	}
	return cs, nil
}

// Client returns a controller-runtime client of this store that reads from the API, not from a cache. scheme holds the
// types the caller uses; nil means all that are served.
func (s *Store) Client(gate Gate, scheme *runtime.Scheme) (client.WithWatch, error) {
	cfg := s.RESTConfig(gate)
	cfg.ContentConfig = rest.ContentConfig{} // the client picks protobuf for the kinds that have it
	if scheme == nil {
		scheme = s.Scheme()
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme, Mapper: s.RESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("kube: building a client: %w", err)
	}
	return c, nil
}

// roundTripper answers requests in process.
type roundTripper struct {
	store *Store
	gate  Gate
	bound []byte // the answer to a binding
}

// RoundTrip implements http.RoundTripper.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var res response
	if quick := t.bind(r); quick != nil {
		res = *quick
	} else {
		res = t.store.respond(t.gate, r)
	}
	out := &http.Response{
		StatusCode: res.code, Status: strconv.Itoa(res.code) + " " + http.StatusText(res.code),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {res.media}},
	}
	if res.stream != nil {
		res.stream.cancel = r.Context().Done()
		out.Body, out.ContentLength = res.stream, -1
		return out, nil
	}
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(res.body)), int64(len(res.body))
	return out, nil
}

// Handler serves the store over HTTP, for kubectl and clients in other processes.
func (s *Store) Handler(gate Gate) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res := s.respond(gate, r)
		w.Header().Set("Content-Type", res.media)
		w.WriteHeader(res.code)
		if res.stream == nil {
			_, _ = w.Write(res.body) // the client is gone if this fails
			return
		}
		defer func() { _ = res.stream.Close() }()
		res.stream.cancel = r.Context().Done()
		flusher := http.NewResponseController(w)
		_ = flusher.Flush()
		buf := make([]byte, 64<<10)
		for {
			n, err := res.stream.Read(buf)
			if err != nil {
				return
			}
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			_ = flusher.Flush()
		}
	})
}

// response is an encoded answer.
type response struct {
	code   int
	media  string
	body   []byte
	stream *stream
}

// respond answers and encodes one request.
func (s *Store) respond(gate Gate, r *http.Request) response {
	media := accepted(r.Header.Get("Accept"))
	a, err := s.serve(gate, r)
	return s.encoded(a, err, media)
}

// encoded encodes an answer, or the error there is instead.
func (s *Store) encoded(a *answer, err error, media string) response {
	if err != nil {
		st := statusError(err)
		a = &answer{code: int(st.Code), obj: st}
	}
	if a.watch != nil {
		st := &stream{store: s, req: a.req, watcher: a.watch, media: typeJSON}
		if _, ok := a.req.kind.newObject().(sized); !ok || media != typeProtobuf {
			return response{code: a.code, media: typeJSON, stream: st}
		}
		st.media = typeProtobuf
		return response{code: a.code, media: typeProtobuf + ";stream=watch", stream: st}
	}
	if a.raw != nil {
		body, _ := json.Marshal(a.raw) // a constant of ours
		return response{code: a.code, media: typeJSON, body: body}
	}
	var buf bytes.Buffer
	used, err := s.codecs.encode(a.obj, media, &buf)
	if err != nil {
		buf.Reset()
		st := statusError(err)
		used, _ = s.codecs.encode(st, typeJSON, &buf)
		a.code = int(st.Code)
	}
	return response{code: a.code, media: used, body: buf.Bytes()}
}

// stream is the body of a watch: it encodes events as they are read.
type stream struct {
	store   *Store
	req     *request
	watcher *watcher
	media   string
	cancel  <-chan struct{}
	rest    bytes.Buffer // encoded and not yet read
}

// Read implements io.Reader. It blocks, on channels only, until there is an event or the watch ends.
func (b *stream) Read(p []byte) (int, error) {
	if b.rest.Len() == 0 {
		b.rest.Reset()
		for {
			e, ok := b.watcher.next(b.cancel)
			if !ok {
				return 0, io.EOF
			}
			if err := b.put(e); err != nil {
				return 0, err
			}
			if b.rest.Len() >= len(p) || !b.watcher.ready() {
				break
			}
		}
	}
	return b.rest.Read(p)
}

// put encodes one event.
func (b *stream) put(e watch.Event) error {
	obj, err := b.store.presented(b.req, e.Object)
	if err != nil {
		return err
	}
	var raw, event bytes.Buffer
	if _, err := b.store.codecs.encode(obj, b.media, &raw); err != nil {
		return fmt.Errorf("encoding a watch event: %w", err)
	}
	we := &metav1.WatchEvent{Type: string(e.Type), Object: runtime.RawExtension{Raw: raw.Bytes()}}
	if b.media == typeProtobuf {
		// Upstream sends the event itself without the envelope that names its kind.
		data, err := we.Marshal()
		if err != nil {
			return fmt.Errorf("encoding a watch event: %w", err)
		}
		return frame(&b.rest, data, b.media)
	}
	if _, err := b.store.codecs.encode(we, b.media, &event); err != nil {
		return fmt.Errorf("encoding a watch event: %w", err)
	}
	return frame(&b.rest, event.Bytes(), b.media)
}

// Close implements io.Closer.
func (b *stream) Close() error {
	b.watcher.Stop()
	return nil
}
