package journal

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"

	"orrery/sim/units"
)

// decoder reads one line in the form the encoder writes: no white space, "t" and "k" first, other fields in any order.
// Unknown fields are errors: a field nobody reads would be dropped silently.
type decoder struct {
	s     []byte
	i     int
	key   string // of the current member, known keys only
	first bool   // no member of the current object read yet
	err   error
}

// parseLine decodes one line without its newline.
func parseLine(line []byte) (Record, error) {
	d := decoder{s: line}
	d.lit(`{"t":`)
	at := units.Time(d.int(math.MinInt64, math.MaxInt64))
	d.lit(`,"k":`)
	kind := d.str()
	if d.err != nil {
		return Record{}, d.err
	}
	body := d.pod(kind)
	if body == nil {
		body = d.job(kind)
	}
	if body == nil {
		body = d.place(kind)
	}
	if body == nil {
		body = d.serving(kind)
	}
	if body == nil {
		body = d.rest(kind)
	}
	if body == nil {
		return Record{}, fmt.Errorf("unknown kind %q", kind)
	}
	if d.err == nil && d.i != len(d.s) {
		d.fail("text after the object")
	}
	return Record{at, body}, d.err
}

func (d *decoder) pod(kind string) Body {
	switch kind {
	case "attempt":
		return d.attempt()
	case "pod.create":
		return d.podCreate()
	case "pod.bind":
		var b PodBind
		d.fields(func() bool { return d.name("pod", &b.Pod) || d.name("node", &b.Node) })
		return b
	case "pod.assign":
		var b PodAssign
		d.fields(func() bool {
			if d.key == "slots" {
				b.Slots = d.slots()
				return true
			}
			return d.name("pod", &b.Pod) || d.name("node", &b.Node)
		})
		return b
	case "pod.start":
		var b PodStart
		d.fields(func() bool { return d.name("pod", &b.Pod) })
		return b
	case "pod.terminate":
		var b PodTerminate
		d.fields(func() bool {
			return d.name("pod", &b.Pod) || d.name("reason", &b.Reason) || number(d, "grace_ns", &b.Grace)
		})
		return b
	case "pod.end":
		var b PodEnd
		d.fields(func() bool {
			return d.name("pod", &b.Pod) || d.name("phase", &b.Phase) || d.name("reason", &b.Reason)
		})
		return b
	case "pod.release":
		var b PodRelease
		d.fields(func() bool { return d.name("pod", &b.Pod) || d.name("node", &b.Node) })
		return b
	case "pod.delete":
		var b PodDelete
		d.fields(func() bool { return d.name("pod", &b.Pod) })
		return b
	case "preempt":
		var b Preempt
		d.fields(func() bool {
			return d.name("victim", &b.Victim) || d.name("by", &b.By) || d.name("node", &b.Node)
		})
		return b
	}
	return nil
}

func (d *decoder) attempt() Attempt {
	var b Attempt
	d.fields(func() bool {
		if d.key == "plugins" {
			b.Plugins = d.strs()
			return true
		}
		return d.name("pod", &b.Pod) || number(d, "n", &b.N) || d.name("result", &b.Result) ||
			d.name("node", &b.Node) || number(d, "evaluated", &b.Evaluated) || number(d, "feasible", &b.Feasible) ||
			d.name("msg", &b.Message) || d.name("nominated", &b.Nominated)
	})
	return b
}

func (d *decoder) podCreate() PodCreate {
	var b PodCreate
	d.fields(func() bool {
		return d.name("pod", &b.Pod) || d.name("job", &b.Job) || d.name("profile", &b.Profile) ||
			d.name("service", &b.Service) ||
			number(d, "priority", &b.Priority) || number(d, "gpus_milli", &b.GPUs) || number(d, "slots", &b.Slots) ||
			number(d, "cpu_milli", &b.CPUMilli) || number(d, "memory_mib", &b.MemoryMiB) || d.name("mig", &b.MIG)
	})
	return b
}

func (d *decoder) job(kind string) Body {
	switch kind {
	case "job.submit":
		var b JobSubmit
		d.fields(func() bool {
			if d.key == "pools" {
				b.Pools = d.strs()
				return true
			}
			return d.name("job", &b.Job) || d.name("tenant", &b.Tenant) || d.name("class", &b.Class) ||
				number(d, "pods", &b.Pods) || number(d, "gpus_milli", &b.GPUs) || number(d, "cpu_milli", &b.CPUMilli) ||
				number(d, "memory_mib", &b.MemoryMiB) || number(d, "priority", &b.Priority) ||
				number(d, "run_ns", &b.Run) || d.name("outcome", &b.Outcome) || number(d, "gang", &b.Gang) ||
				d.name("within", &b.Within)
		})
		return b
	case "job.placed":
		var b JobPlaced
		d.fields(func() bool { return d.name("job", &b.Job) })
		return b
	case "job.start":
		var b JobStart
		d.fields(func() bool { return d.name("job", &b.Job) })
		return b
	case "job.speed":
		var b JobSpeed
		d.fields(func() bool {
			if d.key == "spans" {
				b.Spans = d.ints()
				return true
			}
			return d.name("job", &b.Job) || d.name("pod", &b.Pod) || number(d, "speed_ppm", &b.Speed) ||
				number(d, "hardware_ppm", &b.Hardware) ||
				number(d, "placement_ppm", &b.Placement) || number(d, "sharing_ppm", &b.Sharing) ||
				d.name("layer", &b.Layer)
		})
		return b
	case "job.restart":
		var b JobRestart
		d.fields(func() bool {
			return d.name("job", &b.Job) || d.name("pod", &b.Pod) || d.name("reason", &b.Reason) ||
				number(d, "lost_ns", &b.Lost) || number(d, "gpus_milli", &b.GPUs) || d.name("new", &b.New)
		})
		return b
	case "job.end":
		var b JobEnd
		d.fields(func() bool {
			return d.name("job", &b.Job) || d.name("outcome", &b.Outcome) || d.name("reason", &b.Reason)
		})
		return b
	}
	return nil
}

func (d *decoder) rest(kind string) Body {
	switch kind {
	case "run":
		return d.run()
	case "partition":
		var b Partition
		d.fields(func() bool {
			if d.key == "slots" {
				b.Slots = d.slots()
				return true
			}
			return d.name("node", &b.Node)
		})
		return b
	case "api":
		var b API
		d.fields(func() bool {
			if d.key == "rv" {
				b.RV = d.uint()
				return true
			}
			return d.name("verb", &b.Verb) || d.name("obj", &b.Object) || d.name("sub", &b.Sub)
		})
		return b
	case "warn":
		var b Warn
		d.fields(func() bool {
			return d.name("code", &b.Code) || d.name("msg", &b.Message) || number(d, "count", &b.Count)
		})
		return b
	case "end":
		var b End
		d.fields(func() bool { return d.name("reason", &b.Reason) })
		return b
	}
	return nil
}

func (d *decoder) run() Run {
	var b Run
	d.fields(func() bool {
		switch d.key {
		case "versions":
			b.Versions = map[string]string{}
			d.object(func() { b.Versions[d.key] = d.str() })
			return true
		case "profiles":
			b.Scheduler = d.strs()
			return true
		case "seed":
			b.Seed = d.uint()
			return true
		}
		return number(d, "format", &b.Format) || d.name("scenario", &b.Scenario) || d.name("epoch", &b.Epoch) ||
			d.name("trace", &b.Trace)
	})
	return b
}

// slots reads an array of slots.
func (d *decoder) slots() []Slot {
	out := []Slot{}
	d.array(func() {
		var s Slot
		d.object(func() {
			if !(number(d, "gpu", &s.Index) || number(d, "replica", &s.Replica) || number(d, "milli", &s.Share) ||
				d.name("profile", &s.Profile) || number(d, "start", &s.Start) || number(d, "slices", &s.Slices)) {
				d.fail("unknown field " + d.key)
			}
		})
		out = append(out, s)
	})
	return out
}

// strs reads an array of strings.
func (d *decoder) strs() []string {
	out := []string{}
	d.array(func() { out = append(out, d.str()) })
	return out
}

// ints reads an array of integers.
func (d *decoder) ints() []int {
	out := []int{}
	d.array(func() { out = append(out, int(d.int(math.MinInt, math.MaxInt))) })
	return out
}

// name reads the current member into v when its key is key.
func (d *decoder) name(key string, v *string) bool {
	if d.key != key {
		return false
	}
	*v = d.str()
	return true
}

// number reads the current member into v when its key is key; a value that v's type cannot hold is an error.
func number[T ~int | ~int32 | ~int64](d *decoder, key string, v *T) bool {
	if d.key != key {
		return false
	}
	n := d.int(math.MinInt64, math.MaxInt64)
	*v = T(n)
	if int64(*v) != n {
		d.fail("number out of range")
	}
	return true
}

// fields reads the members after "t" and "k" up to the closing brace; f reads one, or says that it does not know it.
func (d *decoder) fields(f func() bool) {
	d.first = false
	d.members(func() {
		if !f() {
			d.fail("unknown field " + d.key)
		}
	})
}

// Lexical level.

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s at byte %d", what, d.i)
	}
}

func (d *decoder) peek() byte {
	if d.i < len(d.s) {
		return d.s[d.i]
	}
	return 0
}

func (d *decoder) lit(want string) {
	if d.err == nil && (len(d.s)-d.i < len(want) || string(d.s[d.i:d.i+len(want)]) != want) {
		d.fail("want " + want)
		return
	}
	d.i += len(want)
}

// members reads the rest of an object: f reads each value, its key is in d.key.
func (d *decoder) members(f func()) {
	first := d.first
	for d.err == nil {
		if d.peek() == '}' {
			d.i++
			return
		}
		if !first {
			d.lit(",")
		}
		first = false
		key := d.str()
		d.lit(":")
		if d.err == nil {
			d.key = key
			f()
		}
	}
}

func (d *decoder) object(f func()) {
	d.lit("{")
	d.first = true
	d.members(f)
}

func (d *decoder) array(f func()) {
	d.lit("[")
	for first := true; d.err == nil; first = false {
		if d.peek() == ']' {
			d.i++
			return
		}
		if !first {
			d.lit(",")
		}
		f()
	}
}

// int reads an integer between lo and hi.
func (d *decoder) int(lo, hi int64) int64 {
	neg := d.peek() == '-'
	if neg {
		d.i++
	}
	u := d.uint()
	n := int64(u)
	switch {
	case neg && u <= 1<<63:
		n = -n
	case neg || u > math.MaxInt64:
		d.fail("number out of range")
	}
	if n < lo || n > hi {
		d.fail("number out of range")
	}
	return n
}

// uint reads a non-negative integer without leading zeros.
func (d *decoder) uint() uint64 {
	start := d.i
	var n uint64
	for ; d.i < len(d.s) && d.s[d.i] >= '0' && d.s[d.i] <= '9'; d.i++ {
		c := uint64(d.s[d.i] - '0')
		if n > (math.MaxUint64-c)/10 {
			d.fail("number out of range")
			return 0
		}
		n = n*10 + c
	}
	if d.i == start || d.s[start] == '0' && d.i > start+1 {
		d.fail("want an integer")
	}
	return n
}

// str reads a string. The rare escapes are left to encoding/json.
func (d *decoder) str() string {
	d.lit(`"`)
	if d.err != nil {
		return ""
	}
	start, escaped := d.i, false
	for d.i < len(d.s) && d.s[d.i] != '"' {
		switch {
		case d.s[d.i] == '\\':
			escaped = true
			d.i++
		case d.s[d.i] < 0x20:
			d.fail("control character in a string")
			return ""
		}
		d.i++
	}
	if d.i >= len(d.s) {
		d.fail("string without end")
		return ""
	}
	d.i++
	if !utf8.Valid(d.s[start:d.i]) {
		d.fail("string that is no UTF-8")
		return ""
	}
	if !escaped {
		return string(d.s[start : d.i-1])
	}
	var out string
	if err := json.Unmarshal(d.s[start-1:d.i], &out); err != nil {
		d.fail("string with a bad escape")
	}
	return out
}
