package karpenter

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/awslabs/operatorpkg/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	kevents "sigs.k8s.io/karpenter/pkg/events"

	"orrery/sim/engine"
	"orrery/sim/journal"
)

// told are the reasons of Karpenter's events that go into the journal, when what they say about an object changes. What
// is left out says again what other records say: nominations, evictions, readiness.
var told = []string{kevents.DisruptionBlocked, kevents.DisruptionLaunching, kevents.DisruptionTerminating,
	kevents.Unconsolidatable, kevents.ConsolidationCandidate, kevents.ConsolidationRejected, kevents.ConsolidationApproved,
	kevents.FailedScheduling, kevents.NoCompatibleInstanceTypes, kevents.NodeRepairBlocked, kevents.FailedDraining,
	kevents.TerminationGracePeriodExpiring, kevents.TerminationFailed, kevents.FailedConsistencyCheck,
	kevents.InsufficientCapacityError, kevents.NodeClassNotReady, kevents.UnregisteredTaintMissing}

// passing are messages of DisruptionBlocked about stages of a node's life, which other records tell.
var passing = []string{"Nodeclaim does not have an associated node", "Node isn't initialized",
	"Node is deleting or marked for deletion", "Node is nominated for a pending pod"}

// recorder implements events.Recorder: it hands events to the journal at the end of their instant, sorted, because
// upstream publishes some of them in the order of a map.
type recorder struct {
	e      *engine.Engine
	record func(journal.Body)

	mu      sync.Mutex
	pending []journal.Condition

	last map[[2]string][]string // messages, by object and type, that were said together last; driver only
	due  *engine.Event
}

func newRecorder(e *engine.Engine, record func(journal.Body)) *recorder {
	r := &recorder{e: e, record: record, last: map[[2]string][]string{}}
	e.OnSettled(r.settled)
	return r
}

// Publish implements events.Recorder.
func (r *recorder) Publish(list ...kevents.Event) {
	if r.record == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range list {
		stage := e.Reason == kevents.DisruptionBlocked && slices.Contains(passing, e.Message)
		if slices.Contains(told, e.Reason) && !stage {
			r.pending = append(r.pending, journal.Condition{Object: nameOf(e.InvolvedObject), Type: e.Reason, Status: e.Type,
				Message: steady(e.Message)})
		}
	}
}

func (r *recorder) settled() {
	r.mu.Lock()
	due := len(r.pending) > 0
	r.mu.Unlock()
	if due && !r.due.Pending() {
		r.due = r.e.Background(r.e.Now(), engine.PhaseSample, "karpenter: events", r.flush)
	}
}

func (r *recorder) flush() {
	r.mu.Lock()
	list := r.pending
	r.pending = nil
	r.mu.Unlock()
	slices.SortStableFunc(list, func(a, b journal.Condition) int {
		return cmp.Or(strings.Compare(a.Object, b.Object), strings.Compare(a.Type, b.Type),
			strings.Compare(a.Message, b.Message))
	})
	all := slices.Compact(list)
	list = slices.DeleteFunc(slices.Clone(all), func(c journal.Condition) bool {
		name, ok := strings.CutPrefix(c.Object, "NodeClaim/")
		same := func(o journal.Condition) bool { return o.Object == "Node/"+name && o.Type == c.Type }
		return ok && slices.ContainsFunc(all, same) // upstream tells the same of the node, in words of its own
	})
	for len(list) > 0 {
		n := slices.IndexFunc(list, func(c journal.Condition) bool {
			return c.Object != list[0].Object || c.Type != list[0].Type
		})
		if n < 0 {
			n = len(list)
		}
		r.tell(list[:n])
		list = list[n:]
	}
}

// tell records of what is said of an object now, in one type of event, what was not said of it the last time: upstream
// says one thing for each reason to disrupt a node, and says all of it again at every look.
func (r *recorder) tell(list []journal.Condition) {
	key := [2]string{list[0].Object, list[0].Type}
	was := r.last[key]
	var now []string
	for _, c := range list {
		now = append(now, c.Message)
		if !slices.Contains(was, c.Message) && !r.twin(c) {
			r.record(c)
		}
	}
	r.last[key] = now
}

// twin reports whether the same was said last of the node of a NodeClaim, or of the NodeClaim of a node: they have the
// same name, and upstream tells both.
func (r *recorder) twin(c journal.Condition) bool {
	other := ""
	if name, ok := strings.CutPrefix(c.Object, "NodeClaim/"); ok {
		other = "Node/" + name
	} else if name, ok := strings.CutPrefix(c.Object, "Node/"); ok {
		other = "NodeClaim/" + name
	}
	return slices.Contains(r.last[[2]string{other, c.Type}], c.Message)
}

// forget drops what was said about an object that is gone.
func (r *recorder) forget(object string) {
	for _, reason := range told {
		delete(r.last, [2]string{object, reason})
	}
}

var typo = regexp.MustCompile(` \(typo of "[^"]*"\?\)`)

var (
	onePod = regexp.MustCompile(`\S+/\S+ => `)
	others = regexp.MustCompile(` and (\d+) other\(s\)`)
)

// pods puts in order what a message says of pods that would find no place: upstream takes them from a map. Of more than
// five it names any five; their number is what is left then.
func pods(message string) string {
	head, list, ok := strings.Cut(message, "ot all pods would schedule, ")
	at := onePod.FindAllStringIndex(list, -1)
	if !ok || len(at) == 0 {
		return message
	}
	if more := others.FindStringSubmatch(list); more != nil && more[1] != "0" {
		return fmt.Sprintf("%sot all pods would schedule: %d and %s more would not", head, len(at), more[1])
	}
	list = others.ReplaceAllString(list, "")
	at = append(at, []int{len(list), 0})
	var each []string
	for i := range at[:len(at)-1] {
		each = append(each, strings.TrimSpace(list[at[i][0]:min(at[i+1][0], len(list))]))
	}
	slices.Sort(each)
	return head + "ot all pods would schedule, " + strings.Join(each, ", ")
}

// steady takes out of a message what depends on the order of maps: hints at typing errors are dropped, and requirements
// that do not fit and pods that find no place are sorted.
func steady(message string) string {
	message = pods(typo.ReplaceAllString(message, ""))
	const begin = "incompatible requirements, "
	parts := strings.Split(message, "; ")
	for i := 0; i < len(parts); i++ {
		at := strings.LastIndex(parts[i], begin)
		if at < 0 {
			continue
		}
		end := i + 1
		for end < len(parts) && strings.HasPrefix(parts[end], "key ") {
			end++
		}
		head := parts[i][:at+len(begin)]
		parts[i] = parts[i][at+len(begin):]
		slices.Sort(parts[i:end])
		parts[i] = head + parts[i]
		i = end - 1
	}
	return strings.Join(parts, "; ")
}

// nameOf is Kind/name of an object, with its namespace between where it has one.
func nameOf(obj runtime.Object) string {
	kind := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", obj), "*"), "v1.")
	m, ok := obj.(metav1.Object)
	switch {
	case !ok:
		return kind
	case m.GetNamespace() != "":
		return kind + "/" + m.GetNamespace() + "/" + m.GetName()
	}
	return kind + "/" + m.GetName()
}

// Conditions are the conditions of a NodePool or NodeClaim that are others in now than they were in old, which is nil
// for a new object. Nothing is said of other kinds.
func Conditions(old, now runtime.Object) (out []journal.Condition) {
	before := map[string]status.Condition{}
	for _, c := range conditionsOf(old) {
		before[c.Type] = c
	}
	for _, c := range conditionsOf(now) {
		if was, ok := before[c.Type]; ok && was.Status == c.Status && was.Reason == c.Reason && was.Message == c.Message {
			continue
		}
		out = append(out, journal.Condition{Object: nameOf(now), Type: c.Type, Status: string(c.Status), Reason: c.Reason,
			Message: steady(c.Message)})
	}
	slices.SortFunc(out, func(a, b journal.Condition) int { return strings.Compare(a.Type, b.Type) })
	return out
}

func conditionsOf(obj runtime.Object) []status.Condition {
	switch o := obj.(type) {
	case *v1.NodePool:
		if o != nil {
			return o.GetConditions()
		}
	case *v1.NodeClaim:
		if o != nil {
			return o.GetConditions()
		}
	}
	return nil
}
