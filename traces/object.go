package traces

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Object decodes lines of JSON objects member by member, reusing its buffers. The zero value is ready.
type Object struct {
	src      bytes.Reader
	dec      *jsontext.Decoder
	problems []Problem
	texts    map[string]string // one copy of tenants, users, … however many lines name them
}

// Problems returns what is wrong with the line read last, without file and line; valid until the next Read.
func (d *Object) Problems() []Problem { return d.problems }

// Read reads a line that must hold one JSON object and nothing else, and hands its members to add. False: the line is
// no JSON object and nothing more can be said about it. What is wrong is in Problems, without file and line.
func (d *Object) Read(line []byte, add func(key string, v jsontext.Value)) bool {
	if d.dec == nil {
		d.dec = jsontext.NewDecoder(&d.src)
		d.texts = map[string]string{}
	}
	d.src.Reset(line)
	d.dec.Reset(&d.src)
	d.problems = d.problems[:0]
	tok, err := d.dec.ReadToken()
	if err == nil && tok.Kind() != '{' {
		d.Bad(CodeSyntax, "write one JSON object per line", "the line is no JSON object")
		return false
	}
	for err == nil {
		if tok, err = d.dec.ReadToken(); err != nil || tok.Kind() == '}' {
			break
		}
		key := tok.String()
		var value jsontext.Value
		if value, err = d.dec.ReadValue(); err == nil {
			add(key, value)
		}
	}
	if err == nil {
		if rest := bytes.TrimSpace(append(d.dec.UnreadBuffer(), d.unread()...)); len(rest) > 0 {
			d.Bad(CodeSyntax, "write one JSON object per line", "text after the object: %q", Shorten(string(rest)))
			return false
		}
		return true
	}
	d.Bad(CodeSyntax, "write one JSON object per line, with plain numbers (no NaN, no Infinity)", "%s", JSONMessage(err))
	return false
}

// unread returns what the decoder has not taken from the line yet.
func (d *Object) unread() []byte {
	rest := make([]byte, d.src.Len())
	n, _ := d.src.Read(rest)
	return rest[:n]
}

// Bad adds a problem with the line.
func (d *Object) Bad(code, fix, format string, args ...any) {
	d.problems = append(d.problems, Problem{Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// Seconds reads a member in seconds.
func (d *Object) Seconds(key string, v jsontext.Value) time.Duration {
	s, err := ParseSeconds(string(v))
	if err != nil {
		d.Bad(CodeValue, "write seconds as a plain number such as 12.5, from 0 to 3155760000, with at most 9 decimals",
			"%s is %s", key, Shorten(string(v)))
	}
	return s
}

// Amount reads a member that is a whole number from 0 on.
func (d *Object) Amount(key string, v jsontext.Value) int64 {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 0 {
		d.Bad(CodeValue, "write a whole number, 0 or more", "%s is %s", key, Shorten(string(v)))
		return 0
	}
	return n
}

// Text reads a member that is a text.
func (d *Object) Text(key string, v jsontext.Value) string {
	if v.Kind() != '"' {
		d.Bad(CodeValue, "write a JSON string", "%s is %s", key, Shorten(string(v)))
		return ""
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		d.Bad(CodeValue, "write a JSON string", "%s: %v", key, err)
	}
	return string(b)
}

// textsKept bounds the table of shared strings; a trace with more distinct users only takes more memory per job.
const textsKept = 1 << 16

// Shared is Text for values that repeat: equal values share memory.
func (d *Object) Shared(key string, v jsontext.Value) string {
	s := d.Text(key, v)
	if one, ok := d.texts[s]; ok {
		return one
	}
	if len(d.texts) < textsKept {
		d.texts[s] = s
	}
	return s
}

func (d *Object) list(key string, v jsontext.Value) []string {
	var out []string
	if err := json.Unmarshal(v, &out); err != nil || v.Kind() != '[' {
		d.Bad(CodeValue, `write a list of strings such as ["A100"]`, "%s is %s", key, Shorten(string(v)))
		return nil
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// JSONMessage says what the JSON library found, without its name and Go's types.
func JSONMessage(err error) string {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("column %d: %v", syntax.ByteOffset+1, syntax.Err)
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		if semantic.Err != nil {
			return fmt.Sprintf("%s: %v", semantic.JSONPointer, semantic.Err)
		}
		return fmt.Sprintf("%s is %s", semantic.JSONPointer, semantic.JSONKind)
	}
	return err.Error()
}
