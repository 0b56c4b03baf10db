package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/yaml"
)

// Customs are custom resources that have a CustomResourceDefinition: their defaults and rules are applied as the API
// server does, with its code. Defaults are applied to what comes as text, before it becomes a Go object, which cannot
// tell what was left out; an object that comes as a Go object has said everything.
type Customs struct {
	byGVK   map[schema.GroupVersionKind]*custom
	cluster []schema.GroupKind // those that are not namespaced
}

// custom is one version of a custom resource.
type custom struct {
	gvk        schema.GroupVersionKind
	definition *apiextensions.JSONSchemaProps
	structural *structuralschema.Structural
	namespaced bool
	status     bool // it has a status subresource

	once     sync.Once
	strategy strategyOf
	failed   error
}

// strategyOf is what is used of upstream's strategy for custom resources.
type strategyOf interface {
	Validate(context.Context, runtime.Object) field.ErrorList
	ValidateUpdate(context.Context, runtime.Object, runtime.Object) field.ErrorList
}

var _ strategyOf = rest.RESTCreateUpdateStrategy(nil)

// NewCustoms reads CustomResourceDefinitions, each a YAML document.
func NewCustoms(definitions ...[]byte) (*Customs, error) {
	c := &Customs{byGVK: map[schema.GroupVersionKind]*custom{}}
	for _, text := range definitions {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			return nil, fmt.Errorf("reading a CustomResourceDefinition: %w", err)
		}
		if err := c.add(&crd); err != nil {
			return nil, fmt.Errorf("CustomResourceDefinition %s: %w", crd.Name, err)
		}
	}
	return c, nil
}

// add takes the versions of a definition.
func (c *Customs) add(crd *apiextensionsv1.CustomResourceDefinition) error {
	gk := schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind}
	if crd.Spec.Scope == apiextensionsv1.ClusterScoped {
		c.cluster = append(c.cluster, gk)
	}
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if v.Schema == nil {
			return fmt.Errorf("version %s has no schema", v.Name)
		}
		var internal apiextensions.CustomResourceValidation
		err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(
			v.Schema, &internal, nil)
		if err != nil {
			return fmt.Errorf("version %s: %w", v.Name, err)
		}
		s, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
		if err != nil {
			return fmt.Errorf("version %s: %w", v.Name, err)
		}
		s = s.DeepCopy()
		if err := defaulting.PruneDefaults(s); err != nil {
			return fmt.Errorf("version %s: %w", v.Name, err)
		}
		gvk := gk.WithVersion(v.Name)
		c.byGVK[gvk] = &custom{gvk: gvk, definition: internal.OpenAPIV3Schema, structural: s,
			namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
			status:     v.Subresources != nil && v.Subresources.Status != nil}
	}
	return nil
}

// of returns the custom resource of a kind, nil when it has no definition.
func (c *Customs) of(gvk schema.GroupVersionKind) *custom {
	if c == nil {
		return nil
	}
	return c.byGVK[gvk]
}

// clusterScoped names the custom resources that are not namespaced.
func (c *Customs) clusterScoped() []schema.GroupKind {
	if c == nil {
		return nil
	}
	return slices.Clone(c.cluster)
}

// defaulted sets what is left out of an object's JSON to its default. The second result is the object's content.
func (c *custom) defaulted(text []byte) ([]byte, *unstructured.Unstructured, error) {
	var u map[string]any
	if err := utiljson.Unmarshal(text, &u); err != nil {
		return nil, nil, err
	}
	c.setDefaults(u)
	out, err := json.Marshal(u)
	return out, &unstructured.Unstructured{Object: u}, err
}

func (c *custom) setDefaults(u map[string]any) {
	defaulting.PruneNonNullableNullsWithoutDefaults(u, c.structural)
	defaulting.Default(u, c.structural)
}

// rules compiles the rules on first use, which takes some time.
func (c *custom) rules() (strategyOf, error) {
	c.once.Do(func() {
		v, _, err := validation.NewSchemaValidator(c.definition)
		if err != nil {
			c.failed = apierrors.NewInternalError(fmt.Errorf("the schema of %s: %w", c.gvk, err))
			return
		}
		var status *apiextensions.CustomResourceSubresourceStatus
		if c.status {
			status = &apiextensions.CustomResourceSubresourceStatus{}
		}
		c.strategy = customresource.NewStrategy(nil, c.namespaced, c.gvk, v, nil, c.structural, status, nil, nil)
	})
	return c.strategy, c.failed
}

// content is an object as upstream's rules see it.
func (c *custom) content(obj runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("converting a %s: %w", c.gvk.Kind, err))
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(c.gvk)
	if meta, ok := content["metadata"].(map[string]any); ok && meta["creationTimestamp"] == nil {
		delete(meta, "creationTimestamp")
	}
	return u, nil
}

// check applies the rules to a new object.
func (c *custom) check(u *unstructured.Unstructured) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	delete(u.Object, "status")
	if errs := rules.Validate(context.Background(), u); len(errs) > 0 {
		return apierrors.NewInvalid(c.gvk.GroupKind(), u.GetName(), errs)
	}
	return nil
}

// created checks a new object and gives it the defaults that its status has.
func (c *custom) created(obj runtime.Object) error {
	u, err := c.content(obj)
	if err != nil {
		return err
	}
	if err := c.check(u); err != nil {
		return err
	}
	if _, ok := c.structural.Properties["status"]; !ok || c.structural.Properties["status"].Default.Object == nil {
		return nil
	}
	c.setDefaults(u.Object)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
		return apierrors.NewInternalError(fmt.Errorf("converting a %s: %w", c.gvk.Kind, err))
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return nil
}

// updated checks a change of an object.
func (c *custom) updated(obj, old runtime.Object) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	u, err := c.content(obj)
	if err != nil {
		return err
	}
	before, err := c.content(old)
	if err != nil {
		return err
	}
	if errs := rules.ValidateUpdate(context.Background(), u, before); len(errs) > 0 {
		return apierrors.NewInvalid(c.gvk.GroupKind(), obj.(metav1.Object).GetName(), errs)
	}
	return nil
}
