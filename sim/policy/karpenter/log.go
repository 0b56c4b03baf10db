package karpenter

import (
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/go-logr/logr"
	"github.com/patrickmn/go-cache"
)

// routine are messages that upstream logs as errors and that say nothing new: the events say it, or the next try
// succeeds.
var routine = []string{
	"could not schedule pod",           // event FailedScheduling
	"failed launching nodeclaim",       // event InsufficientCapacityError
	"ignoring nodepool, not ready",     // the NodePool's conditions
	"skipping, unable to resolve inst", // an error of the provider's, which has none
}

// sink is a logr.LogSink that keeps errors only.
type sink struct {
	tell func(message string, err error)
}

// Init implements logr.LogSink.
func (*sink) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink.
func (*sink) Enabled(int) bool { return false }

// Info implements logr.LogSink.
func (*sink) Info(int, string, ...any) {}

// Error implements logr.LogSink.
func (s *sink) Error(err error, message string, _ ...any) {
	if s.tell == nil || slices.ContainsFunc(routine, func(r string) bool { return strings.HasPrefix(message, r) }) {
		return
	}
	if err == nil {
		err = errors.New("no error given")
	}
	s.tell(message, err)
}

// WithValues implements logr.LogSink.
func (s *sink) WithValues(...any) logr.LogSink { return s }

// WithName implements logr.LogSink.
func (s *sink) WithName(string) logr.LogSink { return s }

// janitor is a cache whose goroutine takes out what is too old, for ever.
type janitor struct{ cache *cache.Cache }

// stop ends the goroutine, which a bubble must not leave behind, and has nobody else try: upstream's finalizer would do
// so from outside of the bubble.
func (j janitor) stop() {
	runtime.SetFinalizer(j.cache, nil)
	inner := reflect.ValueOf(j.cache).Elem().FieldByName("cache").Elem().FieldByName("janitor")
	if inner.IsNil() {
		return
	}
	f := inner.Elem().FieldByName("stop")
	ch := *(*chan bool)(unsafe.Pointer(f.UnsafeAddr()))
	go func() { ch <- true }()
}

// janitors finds the caches in what Karpenter has built.
func janitors(roots []any) []janitor {
	var out []janitor
	seen := map[unsafe.Pointer]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Interface:
			walk(v.Elem())
		case reflect.Pointer:
			if v.IsNil() || seen[v.UnsafePointer()] {
				return
			}
			seen[v.UnsafePointer()] = true
			if v.Type() == reflect.TypeFor[*cache.Cache]() {
				out = append(out, janitor{(*cache.Cache)(v.UnsafePointer())})
				return
			}
			walk(v.Elem())
		case reflect.Struct:
			if !strings.HasPrefix(v.Type().PkgPath(), "sigs.k8s.io/karpenter/") {
				return
			}
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		}
	}
	for _, root := range roots {
		walk(reflect.ValueOf(root))
	}
	return out
}
