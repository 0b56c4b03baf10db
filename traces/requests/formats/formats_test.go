package formats_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"orrery/traces"
	"orrery/traces/requests"
	"orrery/traces/requests/formats"
)

// samples are small invented files, at least one for every format.
var samples = []struct {
	file, format string
	rows         int
}{
	{"azure_2023_code.csv", "azure-llm-2023", 4}, {"azure_2024_conv.csv", "azure-llm-2024", 3},
	{"burstgpt_1.csv", "burstgpt", 2}, {"burstgpt_2.csv", "burstgpt", 3}, {"mooncake.jsonl", "mooncake", 6},
	{"requests.ndjson", "requests", 3},
}

func sample(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(data []byte, name string, opts requests.Options) (requests.Header, []requests.Request, error) {
	opts.Formats = formats.All()
	src, err := requests.OpenReader(bytes.NewReader(data), name, opts)
	if err != nil {
		return requests.Header{}, nil, err
	}
	list, err := requests.ReadAll(src)
	h := src.Header()
	return h, list, errors.Join(err, src.Close())
}

func importSample(t *testing.T, file string, opts requests.Options) (requests.Header, []requests.Request) {
	t.Helper()
	h, list, err := open(sample(t, file), file, opts)
	if err != nil {
		t.Fatal(err)
	}
	return h, list
}

const ms = time.Millisecond

func TestAzure(t *testing.T) {
	h, list := importSample(t, "azure_2023_code.csv", requests.Options{})
	want := []requests.Request{
		{At: 0, Input: 4808, Output: 10, Service: "code"},
		{At: 52 * ms, Input: 3180, Output: 8, Service: "code"},
		{At: 52 * ms, Input: 3180, Output: 8, Service: "code"},
		{At: time.Date(2023, 11, 30, 23, 59, 59, 5e8, time.UTC).Sub(time.Date(2023, 11, 16, 18, 17, 3, 979_960_000,
			time.UTC)), Input: 1, Output: 2, Service: "code"},
	}
	if d := cmp.Diff(want, list); d != "" || h.TimeZero != "2023-11-16T18:17:03.97996Z" {
		t.Error(d, h.TimeZero)
	}
	h, list = importSample(t, "azure_2024_conv.csv", requests.Options{Set: map[string]string{"service": "chat"}})
	want = []requests.Request{
		{At: 0, Input: 2162, Output: 5, Service: "chat"},
		{At: 990070 * time.Microsecond, Input: 7, Output: 900, Service: "chat"},
		{At: 21*24*time.Hour - 9929*time.Microsecond, Input: 12, Output: 3, Service: "chat"},
	}
	if d := cmp.Diff(want, list); d != "" || h.TimeZero != "2024-05-10T00:00:00.00993Z" {
		t.Error(d, h.TimeZero)
	}
}

func TestBurstGPT(t *testing.T) {
	h, list := importSample(t, "burstgpt_1.csv", requests.Options{})
	want := []requests.Request{
		{At: 5000 * ms, Input: 47, Output: 18, Service: "ChatGPT", Tenant: "Conversation log"},
		{At: 118000 * ms, Input: 417, Output: 276, Service: "GPT-4", Tenant: "API log"},
	}
	skipped := []traces.Skip{{Reason: "failed: no response tokens", Rows: 2, First: "burstgpt_1.csv:3"}}
	if d := cmp.Diff(want, list) + cmp.Diff(skipped, h.Skipped); d != "" {
		t.Error(d)
	}
	h, list = importSample(t, "burstgpt_1.csv", requests.Options{Set: map[string]string{"failed": "keep"}})
	kept := requests.Request{At: 45000 * ms, Input: 10, Output: 1, Service: "GPT-4", Tenant: "API log"}
	skipped = []traces.Skip{{Reason: "failed: no tokens at all", Rows: 1, First: "burstgpt_1.csv:4"}}
	if d := cmp.Diff([]requests.Request{want[0], kept, want[1]}, list) + cmp.Diff(skipped, h.Skipped); d != "" {
		t.Error(d)
	}
	_, list = importSample(t, "burstgpt_2.csv", requests.Options{})
	if len(list) != 3 || list[0].Session != 1 || list[2].Session != 1 || list[1].Session < 2 || list[1].At != 2500*ms {
		t.Error(list)
	}
}

func TestMooncake(t *testing.T) {
	raw := requests.Options{Set: map[string]string{"smooth": "none"}}
	h, list := importSample(t, "mooncake.jsonl", raw)
	want := []requests.Request{
		{At: 0, Input: 1100, Output: 50, Prefix: []uint64{0, 1, 2}},
		{At: 0, Input: 1200, Output: 49, Prefix: []uint64{0, 1, 3}},
		{At: 0, Input: 100, Output: 48, Prefix: []uint64{4}},
		{At: 3000 * ms, Input: 513, Output: 47, Prefix: []uint64{0, 5}},
		{At: 9000 * ms, Input: 512, Output: 46, Prefix: []uint64{0}},
		{At: 9000 * ms, Input: 7, Output: 1},
	}
	if d := cmp.Diff(want, list); d != "" || h.PrefixTokens != 512 {
		t.Error(d, h.PrefixTokens)
	}
	_, smooth := importSample(t, "mooncake.jsonl", requests.Options{})
	for i, r := range smooth {
		if r.Output != want[i].Output || r.At < want[i].At || r.At >= want[i].At+3000*ms || r.At%1000 != 0 ||
			i > 0 && r.At < smooth[i-1].At {
			t.Errorf("request %d at %v, %v in the source", i, r.At, want[i].At)
		}
	}
	_, again := importSample(t, "mooncake.jsonl", requests.Options{})
	_, other := importSample(t, "mooncake.jsonl", requests.Options{Set: map[string]string{"seed": "2"}})
	if cmp.Diff(smooth, again) != "" || cmp.Diff(smooth, other) == "" {
		t.Error("the spreading must depend on the seed and on nothing else")
	}
}

// TestConformance holds every format to what all promise.
func TestConformance(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range samples {
		t.Run(s.file, func(t *testing.T) {
			seen[s.format] = true
			data := sample(t, s.file)
			h, list := importSample(t, s.file, requests.Options{})
			if len(list) != s.rows {
				t.Errorf("%d requests, want %d", len(list), s.rows)
			}
			if s.format != requests.Canonical && (h.Licence == "" || h.Citation == "" ||
				!strings.HasPrefix(h.Importer, s.format+" ")) {
				t.Errorf("the header lacks licence, citation or importer: %+v", h)
			}
			checkCanonical(t, h, list)
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			if _, err := z.Write(data); err != nil || z.Close() != nil {
				t.Fatal(err)
			}
			crlf := bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
			for what, same := range map[string][]byte{"gzip": packed.Bytes(), "CRLF": crlf,
				"byte-order mark": append([]byte("\ufeff"), data...)} {
				h2, list2, err := open(same, s.file, requests.Options{Format: s.format})
				if d := cmp.Diff(h, h2) + cmp.Diff(list, list2); err != nil || d != "" {
					t.Errorf("%s: %v %s", what, err, d)
				}
			}
			if _, _, err := open(packed.Bytes()[:packed.Len()-9], s.file, requests.Options{}); err == nil {
				t.Error("a truncated file was read")
			}
		})
	}
	for _, f := range formats.All() {
		if !seen[f.Info().Name] {
			t.Errorf("format %s has no sample", f.Info().Name)
		}
	}
}

// checkCanonical writes the requests as a canonical trace and reads them back.
func checkCanonical(t *testing.T, h requests.Header, list []requests.Request) {
	t.Helper()
	var out bytes.Buffer
	h.Requests = int64(len(list))
	w, err := requests.NewWriter(&out, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	h2, list2, err := open(out.Bytes(), "canonical", requests.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(h, h2) + cmp.Diff(list, list2); d != "" {
		t.Error(d)
	}
}

// TestBad holds the readers to reporting every bad row with its line, or counting it.
func TestBad(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		want []string // problems, "line code"
		kept int      // requests when bad rows are skipped
	}{
		"azure": {"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,1,1\nx,0,1\n" +
			"2023-11-16 18:17:03.98,0,1\n2023-11-16 18:17:03,1,1\n2023-11-16 18:17:04,1\n2023-11-16 18:17:05,1,-1\n" +
			"2023-11-16 18:17:06,2,2\n",
			[]string{"3 value", "4 value", "5 order", "6 syntax", "7 value"}, 2},
		"burst": {"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n1,a,1,1,3,c\n-1,a,1,1,2,c\n" +
			"4,a,1,1,2,c\n3,a,1,1,2,c\n5,a,NaN,1,2,c\n", []string{"2 value", "3 value", "5 order", "6 value"}, 1},
		"mooncake": {`{"timestamp":0,"input_length":9,"output_length":1,"hash_ids":[1]}` + "\n" +
			`{"timestamp":0,"input_length":9,"output_length":1,"hash_ids":[1,2]}` + "\n" +
			`{"timestamp":0,"input_length":9,"hash_ids":[-1]}` + "\n\n" +
			`{"timestamp":0,"input_length":9,"output_length":1,"tokens":1}` + "\n" +
			`{"timestamp":3000,"input_length":9,"output_length":1}` + "\n" +
			`{"timestamp":0,"input_length":9,"output_length":1}` + "\n",
			[]string{"2 value", "3 value", "3 missing", "4 syntax", "5 unknown", "7 order"}, 2},
		"canonical": {`{"orrery_requests":1,"name":"x","source":"","licence":"","time_zero":""}` + "\n" +
			`{"at_seconds":1,"input":1,"output":1}` + "\n" + `{"at_seconds":0.5,"input":1,"output":1}` + "\n" +
			`{"at_seconds":-1,"input":1,"output":1}` + "\n" + `{"at_seconds":2,"input":0,"output":-1}` + "\n" +
			`{"at_seconds":2,"input":1,"output":1,"prefix":[1]}` + "\n" + `{"at_seconds":2,"input":1,"output":1} x` + "\n" +
			`{"at_seconds":2,"input":1,"output":1,"input":1}` + "\n" + `{"at_seconds":2,"output":1,"session":"a"}` + "\n" +
			`{"at_seconds":3,"input":1,"output":1}` + "\n",
			[]string{"3 order", "4 value", "5 value", "6 value", "7 syntax", "8 syntax", "9 value", "9 missing"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := open([]byte(tc.data), "bad", requests.Options{})
			var list *traces.Errors
			if !errors.As(err, &list) {
				t.Fatalf("no list of problems: %v", err)
			}
			var got []string
			for _, p := range list.Problems {
				got = append(got, fmt.Sprintf("%d %s", p.Line, p.Code))
				if p.File != "bad" || p.Fix == "" || p.Message == "" {
					t.Errorf("a problem without file, message or remedy: %v", p)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("%s\n%v", d, err)
			}
			h, kept, err := open([]byte(tc.data), "bad", requests.Options{SkipBad: true})
			rows := int64(0)
			for _, s := range h.Skipped {
				rows += s.Rows
			}
			lines := map[string]bool{}
			for _, p := range tc.want {
				line, _, _ := strings.Cut(p, " ")
				lines[line] = true
			}
			if err != nil || len(kept) != tc.kept || rows != int64(len(lines)) {
				t.Errorf("%v, %d requests kept, skipped %+v", err, len(kept), h.Skipped)
			}
		})
	}
}

// TestReorder puts rows in order that are out of it by less than the window, and refuses others.
func TestReorder(t *testing.T) {
	const head = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
	var rows []string
	for i := range 200 {
		rows = append(rows, fmt.Sprintf("2023-11-16 18:%02d:%02d.%07d,%d,1", i/60, i%60, i, i+1))
	}
	mixed := slices.Clone(rows)
	for i := 0; i+3 < len(mixed); i += 4 { // every fourth row first
		mixed[i], mixed[i+3] = mixed[i+3], mixed[i]
	}
	sorted, want, err := open([]byte(head+strings.Join(rows, "\n")+"\n"), "f", requests.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(head + strings.Join(mixed, "\n") + "\n")
	h, got, err := open(data, "f", requests.Options{Reorder: 4})
	if d := cmp.Diff(want, got); err != nil || d != "" || h.TimeZero != sorted.TimeZero {
		t.Error(err, d, h.TimeZero)
	}
	if len(h.Notes) != 2 || h.Notes[1] != "150 rows were not in order of time and were put in order" {
		t.Error(h.Notes)
	}
	for _, n := range []int{0, 1, 2} {
		_, _, err := open(data, "f", requests.Options{Reorder: n})
		var list *traces.Errors
		if !errors.As(err, &list) || list.Problems[0].Code != traces.CodeOrder {
			t.Errorf("window %d: %v", n, err)
		}
	}
	for _, n := range []int{-1, requests.ReorderMax + 1} {
		if _, _, err := open(data, "f", requests.Options{Reorder: n}); err == nil {
			t.Errorf("window %d was taken", n)
		}
	}
}

// TestWrongKind says what is wrong with a file of another kind.
func TestWrongKind(t *testing.T) {
	for _, data := range []string{`{"orrery_trace":1,"name":"t"}` + "\n", "a,b,c\n1,2,3\n", "", "\n"} {
		_, _, err := open([]byte(data), "f", requests.Options{})
		var list *traces.Errors
		if !errors.As(err, &list) || list.Problems[0].Fix == "" {
			t.Errorf("%q: %v", data, err)
		}
	}
	for name, want := range map[string]bool{"azure_2023_code.csv": true, "mooncake.jsonl": true, "requests.ndjson": true,
		"../../../formats/testdata/philly.csv": false} {
		got, err := requests.Recognise(filepath.Join("testdata", name), formats.Options())
		if err != nil || got != want {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}
