package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"orrery/sim/units"
)

// bodies lists every kind of body once. TestEveryKindListed keeps it complete.
var bodies = []Body{Run{}, Pool{}, Topology{}, Layer{}, Domain{}, Node{}, Partition{}, JobSubmit{}, JobPlaced{}, JobStart{}, JobSpeed{},
	JobRestart{}, JobEnd{}, PodCreate{},
	Attempt{}, Preempt{}, PodBind{}, PodAssign{}, PodStart{}, PodTerminate{}, PodEnd{}, PodRelease{}, PodDelete{},
	API{}, Warn{}, Service{}, Replica{}, Requests{}, RequestEnd{}, PodStage{}, Machine{}, Scale{}, Condition{}, End{}}

// TestEveryKindListed compares the list with the Kind methods in the source: a new kind must join the tests.
func TestEveryKindListed(t *testing.T) {
	var decls []ast.Decl
	for _, name := range []string{"record.go", "serving.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, f.Decls...)
	}
	listed := map[string]bool{}
	for _, b := range bodies {
		listed[reflect.TypeOf(b).Name()] = true
	}
	found := 0
	for _, decl := range decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "Kind" {
			continue
		}
		found++
		if name := fmt.Sprint(fn.Recv.List[0].Type); !listed[name] {
			t.Errorf("kind %s is not in the list of tested bodies", name)
		}
	}
	if found != len(bodies) {
		t.Errorf("%d kinds in record.go, %d in the list", found, len(bodies))
	}
}

// alphabet holds characters that JSON encoders treat specially beside plain ones; the last is no valid UTF-8.
var alphabet = []string{"a", "Z", "0", " ", "/", "\"", "\\", "\n", "\r", "\t", "\b", "\f", "\x00", "\x1f", "\x7f", "<",
	">", "&", "é", "世", "\u2028", "\u2029", "😀", "\ufffd", "\xff", "\xe2\x80"}

func randomString(r *rand.Rand, valid bool) string {
	letters := alphabet
	if valid {
		letters = alphabet[:len(alphabet)-2]
	}
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteString(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// fill sets v to random content, zero values included. Slices and maps are nil or non-empty, as written files hold.
func fill(r *rand.Rand, v reflect.Value, valid bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i), valid)
		}
	case reflect.String:
		v.SetString(randomString(r, valid))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.IntN(64) * int64(r.IntN(2)))
	case reflect.Int32:
		v.SetInt(int64(int32(r.Uint32())) * int64(r.IntN(2)))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64))
	case reflect.Slice:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(r, v.Index(i), valid)
			}
		}
	case reflect.Map:
		if n := r.IntN(4); n > 0 {
			m := map[string]string{}
			for range n {
				m[randomString(r, valid)] = randomString(r, valid)
			}
			v.Set(reflect.ValueOf(m))
		}
	default:
		panic("journal test: cannot fill a " + v.Kind().String())
	}
}

func randomBody(r *rand.Rand, kind int, valid bool) Body {
	v := reflect.New(reflect.TypeOf(bodies[kind])).Elem()
	fill(r, v, valid)
	return v.Interface().(Body)
}

// reference encodes a record with encoding/json.
func reference(t *testing.T, at units.Time, b Body) string {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(b); err != nil {
		t.Fatal(err)
	}
	fields := strings.TrimSuffix(strings.TrimPrefix(buf.String(), "{"), "}\n")
	if fields != "" {
		fields = "," + fields
	}
	return fmt.Sprintf("{\"t\":%d,\"k\":%q%s}\n", at, b.Kind(), fields)
}

func TestEncoderEqualsEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for kind := range bodies {
		for range 500 {
			at := units.Time(r.Int64())
			b := randomBody(r, kind, false)
			var e encoder
			if err := e.record(at, b); err != nil {
				t.Fatal(err)
			}
			if want := reference(t, at, b); string(e.b) != want {
				t.Fatalf("%#v\ngot  %swant %s", b, e.b, want)
			}
		}
	}
}

func TestDecoderReturnsWhatWasEncoded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for kind := range bodies {
		for range 500 {
			want := Record{units.Time(r.Int64()), randomBody(r, kind, true)}
			var e encoder
			if err := e.record(want.At, want.Body); err != nil {
				t.Fatal(err)
			}
			got, err := parseLine(e.b[:len(e.b)-1])
			if err != nil {
				t.Fatalf("%s%v", e.b, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s%s", e.b, diff)
			}
		}
	}
}

// FuzzParse looks for lines that crash the decoder, and holds that what it accepts survives encoding and decoding.
func FuzzParse(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for kind := range bodies {
		var e encoder
		if err := e.record(1, randomBody(r, kind, false)); err != nil {
			f.Fatal(err)
		}
		f.Add(e.b[:len(e.b)-1])
	}
	f.Add([]byte(`{"t":1,"k":"pod.assign","slots":[{"gpu":-1}],"pod":"\ud800"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		rec, err := parseLine(line)
		if err != nil {
			return
		}
		var e encoder
		if err := e.record(rec.At, rec.Body); err != nil {
			t.Fatal(err)
		}
		first := string(e.b)
		again, err := parseLine(e.b[:len(e.b)-1])
		if err != nil {
			t.Fatalf("%q was accepted, its encoding %q was not: %v", line, first, err)
		}
		e.b = e.b[:0]
		if err := e.record(again.At, again.Body); err != nil || string(e.b) != first {
			t.Fatalf("%q became %q (%v)", first, e.b, err)
		}
	})
}

// write returns a compressed journal of the records, with run and end added.
func write(t *testing.T, recs ...Record) ([]byte, Trailer) {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf)
	w.Append(0, Run{Format: FormatVersion, Scenario: "test", Seed: 1})
	var last units.Time
	for _, r := range recs {
		w.Append(r.At, r.Body)
		last = r.At
	}
	w.Append(last, End{EndDrained})
	n, head, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), Trailer{n, head}
}

func randomRecords(seed uint64, n int) []Record {
	r := rand.New(rand.NewPCG(seed, 0))
	var at units.Time
	recs := make([]Record, n)
	for i := range recs {
		at += units.Time(r.IntN(1e9))
		recs[i] = Record{at, randomBody(r, 1+r.IntN(len(bodies)-2), true)}
	}
	return recs
}

func readAll(b []byte) ([]Record, *Reader, error) {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	var out []Record
	err = Each(r, func(rec Record) error { out = append(out, rec); return nil })
	return out, r, err
}

func TestRoundTripAndByteStability(t *testing.T) {
	recs := randomRecords(7, 20000) // several blocks of the writer and of zstd
	a, ta := write(t, recs...)
	b, tb := write(t, recs...)
	if !bytes.Equal(a, b) || ta != tb {
		t.Fatal("two writers of the same records wrote different bytes")
	}
	got, r, err := readAll(a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(recs, got[1:len(got)-1]); diff != "" {
		t.Fatal(diff)
	}
	if r.Records() != ta.Records || r.Head() != ta.Head {
		t.Errorf("reader saw %d %s, writer wrote %+v", r.Records(), r.Head(), ta)
	}
	path := filepath.Join(t.TempDir(), "journal.ndjson.zst")
	if err := os.WriteFile(path, a, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadTrailer(path); err != nil || got != ta {
		t.Errorf("trailer %+v, %v, want %+v", got, err, ta)
	}
	if err := Verify(path, ta); err != nil {
		t.Error(err)
	}
	if err := Verify(path, Trailer{ta.Records, strings.Repeat("0", 64)}); !errors.Is(err, ErrHash) {
		t.Errorf("another head was accepted: %v", err)
	}
}

// TestChainIsTheDocumentedOne recomputes the hash chain from the definition over the decompressed lines.
func TestChainIsTheDocumentedOne(t *testing.T) {
	raw, want := write(t, randomRecords(8, 50)...)
	text := decompress(t, raw)
	link := make([]byte, 32)
	n := int64(0)
	for line := range bytes.SplitAfterSeq(text, []byte("\n")) {
		if len(line) > 0 {
			link = hashOf(append(link[:32:32], line...))
			n++
		}
	}
	if got := fmt.Sprintf("%x", link); got != want.Head || n != want.Records {
		t.Errorf("chain of the lines is %d %s, writer says %+v", n, got, want)
	}
}

func decompress(t *testing.T, raw []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEveryTruncationIsDetected(t *testing.T) {
	raw, _ := write(t, randomRecords(9, 30)...)
	for n := range raw {
		if _, _, err := readAll(raw[:n]); err == nil {
			t.Fatalf("a journal cut to %d of %d bytes was accepted", n, len(raw))
		}
	}
	text := decompress(t, raw)
	if _, _, err := readAll(text); err != nil {
		t.Errorf("plain NDJSON: %v", err)
	}
	for n := 1; n < len(text); n++ {
		if _, _, err := readAll(text[:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("plain journal cut to %d of %d bytes: %v", n, len(text), err)
		}
	}
}

// TestEditedJournalIsDetected recompresses edited text under the old trailer, as somebody changing a file would.
func TestEditedJournalIsDetected(t *testing.T) {
	raw, _ := write(t, Record{1, PodStart{"default/a"}}, Record{2, PodStart{"default/b"}})
	text := decompress(t, raw)
	for name, edit := range map[string]func(string) string{
		"value": func(s string) string { return strings.Replace(s, "default/a", "default/c", 1) },
		"dropped": func(s string) string {
			return strings.Replace(s, `{"t":1,"k":"pod.start","pod":"default/a"}`+"\n", "", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			z, err := zstd.NewWriter(&buf)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := z.Write([]byte(edit(string(text)))); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			buf.Write(raw[len(raw)-trailerSize:])
			if _, _, err := readAll(buf.Bytes()); !errors.Is(err, ErrHash) {
				t.Errorf("got %v, want %v", err, ErrHash)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	const run = `{"t":0,"k":"run","format":1,"scenario":"s","seed":1,"epoch":""}` + "\n"
	const end = `{"t":9,"k":"end","reason":"drained"}` + "\n"
	for name, tc := range map[string]struct {
		text string
		want error
		says string
	}{
		"newer":        {`{"t":0,"k":"run","format":2,"scenario":"s","seed":1,"epoch":""}` + "\n", ErrFormat, "format 2"},
		"newer-fields": {`{"t":0,"k":"run","format":2,"planet":"s"}` + "\n", ErrFormat, "newer"},
		"no-run":       {`{"t":1,"k":"pod.start","pod":"a"}` + "\n", ErrCorrupt, "line 1"},
		"two-runs":     {run + run, ErrCorrupt, "line 2"},
		"back": {run + `{"t":5,"k":"pod.start","pod":"a"}` + "\n" + `{"t":4,"k":"pod.start","pod":"a"}` + "\n",
			ErrCorrupt, "line 3"},
		"kind":       {run + `{"t":1,"k":"pod.dance","pod":"a"}` + "\n", ErrCorrupt, `unknown kind "pod.dance"`},
		"field":      {run + `{"t":1,"k":"pod.start","pot":"a"}` + "\n", ErrCorrupt, "unknown field pot"},
		"range":      {run + `{"t":1,"k":"pod.create","pod":"a","priority":2147483648}` + "\n", ErrCorrupt, "out of range"},
		"no-end":     {run, ErrTruncated, ""},
		"half-line":  {run + `{"t":1,"k":"pod.st`, ErrTruncated, "line 2"},
		"after-end":  {run + end + end, ErrCorrupt, "after the end"},
		"empty":      {"", ErrCorrupt, ""},
		"other-file": {"PAR1....", ErrCorrupt, "neither zstd nor JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readAll([]byte(tc.text))
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %v saying %q", err, tc.want, tc.says)
			}
		})
	}
}

func TestWriterRefuses(t *testing.T) {
	run := Run{Format: FormatVersion}
	for name, tc := range map[string]struct {
		recs []Record
		says string
	}{
		"no-run":    {[]Record{{0, End{}}}, "first record"},
		"two-runs":  {[]Record{{0, run}, {0, run}}, "second run"},
		"format":    {[]Record{{0, Run{Format: 9}}}, "format 9"},
		"back":      {[]Record{{0, run}, {2, PodStart{}}, {1, PodStart{}}}, "time goes back"},
		"after-end": {[]Record{{0, run}, {0, End{}}, {0, PodStart{}}}, "after the end"},
		"no-end":    {[]Record{{0, run}, {0, PodStart{}}}, "not whole"},
		"pointer":   {[]Record{{0, run}, {0, &PodStart{}}}, "by value"},
	} {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			w := NewWriter(&buf)
			for _, r := range tc.recs {
				w.Append(r.At, r.Body)
			}
			_, _, err := w.Close()
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v, want an error saying %q", err, tc.says)
			}
			if _, _, err := readAll(buf.Bytes()); err == nil {
				t.Error("the file of a failed writer was accepted")
			}
		})
	}
}

// fullDisk fails after n bytes.
type fullDisk struct{ n int }

var errDisk = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.n {
		n := d.n
		d.n = 0
		return n, errDisk
	}
	d.n -= len(p)
	return len(p), nil
}

func TestFullDiskIsReported(t *testing.T) {
	recs := randomRecords(10, 5000)
	whole, _ := write(t, recs...)
	for _, room := range []int{0, 1, 1000, len(whole) / 2, len(whole) - trailerSize, len(whole) - 1} {
		w := NewWriter(&fullDisk{room})
		w.Append(0, Run{Format: FormatVersion, Scenario: "test", Seed: 1})
		for _, r := range recs {
			w.Append(r.At, r.Body)
		}
		w.Append(w.last, End{EndDrained})
		if _, _, err := w.Close(); !errors.Is(err, errDisk) {
			t.Errorf("room for %d bytes: got %v", room, err)
		}
	}
}

func TestMultiFeedsAll(t *testing.T) {
	a, b := NewWriter(io.Discard), NewWriter(io.Discard)
	var s Sink = Multi{a, b}
	s.Append(0, Run{Format: FormatVersion})
	s.Append(5, End{EndHorizon})
	if a.Head() != b.Head() || a.Records() != 2 || b.Records() != 2 {
		t.Errorf("heads %s %s", a.Head(), b.Head())
	}
}

func hashOf(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
