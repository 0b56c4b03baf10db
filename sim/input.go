package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"orrery/sim/kube"
	"orrery/sim/plan"
	"orrery/sim/policy/keda"
	"orrery/sim/policy/operators"
	"orrery/sim/units"
)

// InputError is a mistake in the user's input that only shows when it is used: a manifest that the API refuses, a job
// that cannot be read.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }
func (e *InputError) Unwrap() error { return e.Err }

// manifest is one of the user's objects.
type manifest struct {
	object runtime.Object
	at     string         // file:line, for messages
	run    units.Duration // length of a Job's work; < 0 = it has no end

	operated *operators.Expansion // of an operator's object; nil = it is none
	submit   units.Duration       // when the operator makes its pods
}

// Annotations of the user's manifests. They are taken off the objects, so that no controller sees them.
const (
	// annotationRun says, on a Job or an operator's object, how long the work of each of its pods takes: physics.
	annotationRun = "orrery.dev/run"
	// annotationSubmit says when an operator's object is created; without it at the beginning of the run.
	annotationSubmit = "orrery.dev/submit"
)

// readManifests decodes a manifest file.
func readManifests(f plan.File, sets bool) ([]manifest, error) {
	o, err := apiOptions(namesKarpenter(f), sets)
	if err != nil {
		return nil, err
	}
	objects, err := kube.Decoding{Schemes: append(o.Schemes, operators.Scheme()), Customs: o.Customs}.Manifests(f.Name,
		f.Data) // of two schemes that know a kind the first one counts
	var out []manifest
	errs := []error{err}
	for _, obj := range objects {
		m := manifest{object: obj, at: fmt.Sprintf("%s:%d", f.Name, lineOf(f.Data, obj)), run: -1}
		if why := unsupportedClaim(obj); why != "" {
			errs = append(errs, fmt.Errorf("%s: %s", m.at, why))
		}
		for _, err := range keda.Check(obj) {
			errs = append(errs, fmt.Errorf("%s: %w", m.at, err))
		}
		if job, ok := obj.(*batchv1.Job); ok {
			errs = append(errs, m.take(job, annotationRun, &m.run))
		}
		if operators.Owns(obj) {
			errs = append(errs, m.operate(f))
		}
		out = append(out, m)
	}
	return out, errors.Join(errs...)
}

// take reads and removes an annotation that is a time.
func (m *manifest) take(o metav1.Object, key string, into *units.Duration) error {
	text, ok := o.GetAnnotations()[key]
	if !ok {
		return nil
	}
	delete(o.GetAnnotations(), key)
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d%units.Tick != 0 {
		return fmt.Errorf("%s: annotation %s: %q is not a duration in whole microseconds; write it like 90s or 2h30m",
			m.at, key, text)
	}
	*into = d
	return nil
}

// lineOf returns the line of a file that names the object: the "name:" in a document of its kind, else the first line.
func lineOf(text []byte, obj runtime.Object) int {
	m, ok := obj.(metav1.Object)
	if !ok {
		return 1
	}
	inKind, kinded, found := false, false, 0
	for i, line := range strings.Split(string(text), "\n") {
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t{},\"'", r) })
		for k, word := range words {
			var value string
			if k+1 < len(words) {
				value = words[k+1]
			}
			switch {
			case word == "kind:" && !kinded: // the next ones are of what it refers to
				inKind, kinded = value == obj.GetObjectKind().GroupVersionKind().Kind, true
			case word == "name:" && found == 0 && strings.Contains(line, m.GetName()):
				found = i + 1
			}
		}
		if strings.TrimRight(line, " \t\r") == "---" {
			if inKind && found > 0 {
				break
			}
			inKind, kinded, found = false, false, 0
		}
	}
	if inKind && found > 0 {
		return found
	}
	return 1
}

// createManifests creates the user's objects in order, as kubectl would: what names no namespace goes to "default", and
// namespace is called for each one that is used. Jobs are handed to submit, if there is one, and operators' objects to
// operate. All refusals are reported at once.
func createManifests(store *kube.Store, list []manifest, namespace func(name string),
	submit func(*batchv1.Job, units.Duration) error, operate func(*manifest) error) error {
	var errs []error
	for i, m := range list {
		if m.operated != nil {
			namespace(m.object.(metav1.Object).GetNamespace())
			if err := operate(&list[i]); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", m.at, err))
			}
			continue
		}
		if o, ok := m.object.(metav1.Object); ok {
			gvk := m.object.GetObjectKind().GroupVersionKind()
			mapping, err := store.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s %s: the simulated API does not serve this kind; remove the object",
					m.at, gvk.Kind, o.GetName()))
				continue
			}
			if o.GetNamespace() == "" && mapping.Scope.Name() == meta.RESTScopeNameNamespace {
				o.SetNamespace(corev1.NamespaceDefault)
			}
			namespace(o.GetNamespace())
		}
		var err error
		if job, ok := m.object.(*batchv1.Job); ok && submit != nil {
			err = submit(job, m.run)
		} else {
			_, err = store.Create(m.object)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: the API refuses it: %w", m.at, err))
		}
	}
	if len(errs) > 0 {
		return &InputError{errors.Join(errs...)}
	}
	return nil
}

// admit tries the manifests on an API of their own, so that what a run would refuse is known before it starts.
func admit(list []manifest, p *plan.Plan) error {
	if len(list) == 0 {
		return nil
	}
	options, err := apiOptions(mayNeedKarpenter(p), servesSets(p))
	if err != nil {
		return err
	}
	options.Now = func() time.Time { return p.Epoch }
	store, err := kube.New(options)
	if err != nil {
		return err
	}
	err = createManifests(store, list, func(name string) {
		if name != "" {
			// Refused when it is there already, or when the name is bad, which the object's own refusal says.
			_, _ = store.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
	}, nil, func(m *manifest) error { return m.admitPods(store) })
	if err != nil {
		return err
	}
	_, err = reviewed(store, list)
	return err
}

// reviewed asks KEDA's webhook about the ScaledObjects among objects that are in an API.
func reviewed(store *kube.Store, list []manifest) (warnings []string, err error) {
	var hook *keda.Webhook
	var errs []error
	for _, m := range list {
		if !keda.IsScaledObject(m.object) {
			continue
		}
		if hook == nil {
			if hook, err = keda.NewWebhook(store); err != nil {
				return nil, err
			}
		}
		said, refusals := hook.Review(m.object)
		for _, x := range said {
			warnings = append(warnings, m.at+": "+x)
		}
		for _, err := range refusals {
			errs = append(errs, fmt.Errorf("%s: %w", m.at, err))
		}
	}
	if len(errs) > 0 {
		return nil, &InputError{errors.Join(errs...)}
	}
	return warnings, nil
}
