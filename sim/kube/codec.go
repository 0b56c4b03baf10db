package kube

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// Content types of the API.
const (
	typeJSON     = runtime.ContentTypeJSON
	typeYAML     = runtime.ContentTypeYAML
	typeProtobuf = runtime.ContentTypeProtobuf
)

// codecs are the wire formats of one scheme.
type codecs struct {
	json, strict, yaml, proto runtime.Serializer
	customs                   *Customs
}

func newCodecs(s *runtime.Scheme, customs *Customs) *codecs {
	return &codecs{
		customs: customs,
		json:    json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{}),
		strict:  json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{Strict: true}),
		yaml:    json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{Yaml: true}),
		proto:   protobuf.NewSerializer(s, s),
	}
}

// decode reads a request body as the kind it names, or as fallback when it names none.
func (c *codecs) decode(body []byte, contentType string, fallback schema.GroupVersionKind, strict bool) (
	runtime.Object, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("content type %q: %v", contentType, err))
	}
	var ser runtime.Serializer
	switch media {
	case typeProtobuf:
		ser = c.proto
	case typeYAML:
		ser = c.yaml
	case "", typeJSON, "*/*":
		ser = c.json
		if strict {
			ser = c.strict
		}
	default:
		return nil, unsupportedMediaType(media, typeJSON, typeYAML, typeProtobuf)
	}
	if custom := c.customs.of(fallback); custom != nil && ser != c.proto {
		if body, _, err = custom.defaulted(body); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	obj, _, err := ser.Decode(body, &fallback, nil)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return obj, nil
}

// encode writes obj, whose type meta is set, in a content type. Types without protobuf code are written as JSON.
// It returns the content type used.
func (c *codecs) encode(obj runtime.Object, contentType string, w *bytes.Buffer) (string, error) {
	if contentType == typeProtobuf {
		err := c.proto.Encode(obj, w)
		if err == nil {
			return typeProtobuf, nil
		}
		w.Reset()
	}
	if contentType == typeYAML {
		return typeYAML, c.yaml.Encode(obj, w)
	}
	return typeJSON, c.json.Encode(obj, w)
}

// accepted chooses the content type of an answer.
func accepted(header string) string {
	if strings.HasPrefix(header, typeProtobuf) {
		return typeProtobuf
	}
	for clause := range strings.SplitSeq(header, ",") {
		media, params, err := mime.ParseMediaType(clause)
		if err != nil || params["as"] != "" {
			continue
		}
		switch media {
		case typeProtobuf, typeYAML, typeJSON:
			return media
		}
	}
	return typeJSON
}

// frame writes one watch event the way its content type delimits them.
func frame(w io.Writer, event []byte, contentType string) error {
	if contentType == typeProtobuf {
		_, err := protobuf.LengthDelimitedFramer.NewFrameWriter(w).Write(event)
		return err
	}
	_, err := w.Write(event)
	return err
}

// unsupportedMediaType is the API's answer 415.
func unsupportedMediaType(got string, want ...string) error {
	return &apierrors.StatusError{ErrStatus: statusOf(415, "UnsupportedMediaType", fmt.Sprintf(
		"the body of the request was in an unknown format - accepted media types include: %s (not %q)",
		strings.Join(want, ", "), got))}
}
