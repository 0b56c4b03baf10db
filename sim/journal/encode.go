package journal

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"orrery/sim/units"
)

// encoder appends one record as JSON. It writes exactly what encoding/json without HTML escaping would write for the
// bodies' struct tags, several times faster; a test holds the two equal. Keys are passed with their leading comma,
// quotes and colon, so that a field is one or two appends.
type encoder struct{ b []byte }

// record appends the record's line, newline included.
func (e *encoder) record(at units.Time, body Body) error {
	e.b = append(e.b, `{"t":`...)
	e.b = strconv.AppendInt(e.b, int64(at), 10)
	e.b = append(e.b, `,"k":"`...)
	e.b = append(e.b, body.Kind()...)
	e.b = append(e.b, '"')
	if !e.pod(body) && !e.job(body) && !e.place(body) && !e.serving(body) && !e.rest(body) {
		return fmt.Errorf("journal: body of unknown type %T (bodies are passed by value)", body)
	}
	e.b = append(e.b, '}', '\n')
	return nil
}

// pod appends the fields of the bodies about pods; false when body is none of them.
func (e *encoder) pod(body Body) bool {
	switch b := body.(type) {
	case Attempt:
		e.attempt(&b)
	case PodCreate:
		e.str(`,"pod":`, b.Pod)
		e.strOmit(`,"job":`, b.Job)
		e.strOmit(`,"service":`, b.Service)
		e.strOmit(`,"profile":`, b.Profile)
		e.intOmit(`,"priority":`, int64(b.Priority))
		e.int(`,"gpus_milli":`, int64(b.GPUs))
		e.int(`,"slots":`, int64(b.Slots))
		e.int(`,"cpu_milli":`, b.CPUMilli)
		e.int(`,"memory_mib":`, b.MemoryMiB)
		e.strOmit(`,"mig":`, b.MIG)
	case PodBind:
		e.str(`,"pod":`, b.Pod)
		e.str(`,"node":`, b.Node)
	case PodAssign:
		e.str(`,"pod":`, b.Pod)
		e.str(`,"node":`, b.Node)
		e.slots(`,"slots":`, b.Slots)
	case PodStart:
		e.str(`,"pod":`, b.Pod)
	case PodTerminate:
		e.str(`,"pod":`, b.Pod)
		e.str(`,"reason":`, b.Reason)
		e.int(`,"grace_ns":`, int64(b.Grace))
	case PodEnd:
		e.str(`,"pod":`, b.Pod)
		e.str(`,"phase":`, b.Phase)
		e.strOmit(`,"reason":`, b.Reason)
	case PodRelease:
		e.str(`,"pod":`, b.Pod)
		e.str(`,"node":`, b.Node)
	case PodDelete:
		e.str(`,"pod":`, b.Pod)
	case Preempt:
		e.str(`,"victim":`, b.Victim)
		e.str(`,"by":`, b.By)
		e.str(`,"node":`, b.Node)
	default:
		return false
	}
	return true
}

func (e *encoder) attempt(b *Attempt) {
	e.str(`,"pod":`, b.Pod)
	e.int(`,"n":`, int64(b.N))
	e.str(`,"result":`, b.Result)
	e.strOmit(`,"node":`, b.Node)
	e.intOmit(`,"evaluated":`, int64(b.Evaluated))
	e.intOmit(`,"feasible":`, int64(b.Feasible))
	e.strOmit(`,"msg":`, b.Message)
	e.strs(`,"plugins":`, b.Plugins)
	e.strOmit(`,"nominated":`, b.Nominated)
}

// job appends the fields of the bodies about jobs; false when body is none of them.
func (e *encoder) job(body Body) bool {
	switch b := body.(type) {
	case JobSubmit:
		e.str(`,"job":`, b.Job)
		e.strOmit(`,"tenant":`, b.Tenant)
		e.strOmit(`,"class":`, b.Class)
		e.int(`,"pods":`, int64(b.Pods))
		e.int(`,"gpus_milli":`, int64(b.GPUs))
		e.int(`,"cpu_milli":`, b.CPUMilli)
		e.int(`,"memory_mib":`, b.MemoryMiB)
		e.intOmit(`,"priority":`, int64(b.Priority))
		e.int(`,"run_ns":`, int64(b.Run))
		e.strOmit(`,"outcome":`, b.Outcome)
		e.intOmit(`,"gang":`, int64(b.Gang))
		e.strOmit(`,"within":`, b.Within)
		e.strs(`,"pools":`, b.Pools)
	case JobPlaced:
		e.str(`,"job":`, b.Job)
	case JobStart:
		e.str(`,"job":`, b.Job)
	case JobSpeed:
		e.str(`,"job":`, b.Job)
		e.strOmit(`,"pod":`, b.Pod)
		e.int(`,"speed_ppm":`, b.Speed)
		e.int(`,"hardware_ppm":`, b.Hardware)
		e.int(`,"placement_ppm":`, b.Placement)
		e.int(`,"sharing_ppm":`, b.Sharing)
		e.strOmit(`,"layer":`, b.Layer)
		e.ints(`,"spans":`, b.Spans)
	case JobRestart:
		e.str(`,"job":`, b.Job)
		e.str(`,"pod":`, b.Pod)
		e.str(`,"reason":`, b.Reason)
		e.int(`,"lost_ns":`, int64(b.Lost))
		e.int(`,"gpus_milli":`, int64(b.GPUs))
		e.strOmit(`,"new":`, b.New)
	case JobEnd:
		e.str(`,"job":`, b.Job)
		e.str(`,"outcome":`, b.Outcome)
		e.strOmit(`,"reason":`, b.Reason)
	default:
		return false
	}
	return true
}

// rest appends the fields of all other bodies; false when body is none of them.
func (e *encoder) rest(body Body) bool {
	switch b := body.(type) {
	case Run:
		e.int(`,"format":`, int64(b.Format))
		e.str(`,"scenario":`, b.Scenario)
		e.uint(`,"seed":`, b.Seed)
		e.str(`,"epoch":`, b.Epoch)
		e.strOmit(`,"trace":`, b.Trace)
		e.dict(`,"versions":`, b.Versions)
		e.strs(`,"profiles":`, b.Scheduler)
	case Partition:
		e.str(`,"node":`, b.Node)
		e.slots(`,"slots":`, b.Slots)
	case API:
		e.str(`,"verb":`, b.Verb)
		e.str(`,"obj":`, b.Object)
		e.strOmit(`,"sub":`, b.Sub)
		e.uint(`,"rv":`, b.RV)
	case Warn:
		e.str(`,"code":`, b.Code)
		e.str(`,"msg":`, b.Message)
		e.intOmit(`,"count":`, b.Count)
	case End:
		e.str(`,"reason":`, b.Reason)
	default:
		return false
	}
	return true
}

func (e *encoder) int(key string, v int64) {
	e.b = append(e.b, key...)
	e.b = strconv.AppendInt(e.b, v, 10)
}

func (e *encoder) uint(key string, v uint64) {
	e.b = append(e.b, key...)
	e.b = strconv.AppendUint(e.b, v, 10)
}

func (e *encoder) intOmit(key string, v int64) {
	if v != 0 {
		e.int(key, v)
	}
}

func (e *encoder) str(key, v string) {
	e.b = append(e.b, key...)
	e.b = appendString(e.b, v)
}

func (e *encoder) strOmit(key, v string) {
	if v != "" {
		e.str(key, v)
	}
}

func (e *encoder) strs(key string, v []string) {
	if len(v) == 0 {
		return
	}
	e.b = append(e.b, key...)
	sep := byte('[')
	for _, s := range v {
		e.b = append(e.b, sep)
		e.b = appendString(e.b, s)
		sep = ','
	}
	e.b = append(e.b, ']')
}

func (e *encoder) ints(key string, v []int) {
	if len(v) == 0 {
		return
	}
	e.b = append(e.b, key...)
	sep := byte('[')
	for _, n := range v {
		e.b = append(e.b, sep)
		e.b = strconv.AppendInt(e.b, int64(n), 10)
		sep = ','
	}
	e.b = append(e.b, ']')
}

func (e *encoder) dict(key string, v map[string]string) {
	if len(v) == 0 {
		return
	}
	e.b = append(e.b, key...)
	sep := byte('{')
	for _, k := range slices.Sorted(maps.Keys(v)) {
		e.b = append(e.b, sep)
		e.b = appendString(e.b, k)
		e.b = append(e.b, ':')
		e.b = appendString(e.b, v[k])
		sep = ','
	}
	e.b = append(e.b, '}')
}

func (e *encoder) slots(key string, v []Slot) {
	if len(v) == 0 {
		return
	}
	e.b = append(e.b, key...)
	sep := byte('[')
	for i := range v {
		e.b = append(e.b, sep)
		e.int(`{"gpu":`, int64(v[i].Index))
		e.intOmit(`,"replica":`, int64(v[i].Replica))
		e.int(`,"milli":`, int64(v[i].Share))
		e.strOmit(`,"profile":`, v[i].Profile)
		e.intOmit(`,"start":`, int64(v[i].Start))
		e.intOmit(`,"slices":`, int64(v[i].Slices))
		e.b = append(e.b, '}')
		sep = ','
	}
	e.b = append(e.b, ']')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string the way encoding/json does without HTML escaping: quotes, backslashes and
// control characters escaped, invalid UTF-8 as U+FFFD, U+2028 and U+2029 escaped because JavaScript ends lines there.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(b, s[start:i]...)
			b = append(b, `\u202`...)
			b = append(b, hexDigits[r&0xF])
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendEscaped appends the escape of an ASCII character that may not stand in a JSON string.
func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '\\', '"':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
}
