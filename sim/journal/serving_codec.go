package journal

import (
	"bytes"
	"encoding/json"
)

// Records about services are few: one of a window stands for thousands of requests. They go through encoding/json.

// serving appends the fields of the bodies about services, machines and autoscalers; false when body is none of them.
func (e *encoder) serving(body Body) bool {
	switch body.(type) {
	case Service, Replica, Requests, RequestEnd, PodStage, Machine, Scale, Condition:
	default:
		return false
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return false
	}
	text := bytes.TrimSpace(b.Bytes())
	e.b = append(e.b, ',')
	e.b = append(e.b, text[1:len(text)-1]...)
	return true
}

// serving decodes what the encoder's serving has written; nil when the kind is another.
func (d *decoder) serving(kind string) Body {
	switch kind {
	case "service":
		return rest[Service](d)
	case "replica":
		return rest[Replica](d)
	case "requests":
		return rest[Requests](d)
	case "request.end":
		return rest[RequestEnd](d)
	case "pod.stage":
		return rest[PodStage](d)
	case "machine":
		return rest[Machine](d)
	case "scale":
		return rest[Scale](d)
	case "condition":
		return rest[Condition](d)
	}
	return nil
}

// rest decodes the rest of the line, which the decoder has read up to the comma behind the kind.
func rest[T Body](d *decoder) Body {
	var b T
	if d.err != nil || d.i >= len(d.s) || d.s[d.i] != ',' {
		d.fail("a comma is missing")
		return b
	}
	text := append([]byte{'{'}, d.s[d.i+1:]...)
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		d.fail(err.Error())
	} else if dec.InputOffset() != int64(len(text)) {
		d.fail("text after the object")
	}
	d.i = len(d.s)
	return b
}
