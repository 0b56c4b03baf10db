package account

import (
	"fmt"
	"strconv"
	"strings"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// ObjectStory is what happened to a service, a node, an autoscaler, an object with replicas, or a request.
type ObjectStory struct {
	Object string       `json:"object"` // as in the query, e.g. "service/chat"
	About  string       `json:"about,omitempty"`
	Events []EventStory `json:"events"`
}

// EventStory is one thing that happened, in words and as the journal has it.
type EventStory struct {
	At     units.Time   `json:"t_ns"`
	Text   string       `json:"text"`
	Record journal.Body `json:"record,omitempty"`
}

// objectKinds are the first words of queries about objects, with the kind that journals call them by.
var objectKinds = map[string]string{
	"service": "service", "node": "node", "request": "request",
	"hpa": "HorizontalPodAutoscaler", "horizontalpodautoscaler": "HorizontalPodAutoscaler",
	"scaledobject": "ScaledObject", "deployment": "Deployment", "deploy": "Deployment",
	"leaderworkerset": "LeaderWorkerSet", "lws": "LeaderWorkerSet", "statefulset": "StatefulSet",
	"replicaset": "ReplicaSet", "nodepool": "NodePool", "nodegroup": "NodeGroup",
	"nodeclaim": "NodeClaim",
}

// objectTeller picks the records that a query is about and puts them into words.
type objectTeller struct {
	query, kind, namespace, name string
	story                        ObjectStory
	found                        bool
	like                         similar
	tell                         func(at units.Time, b journal.Body)

	// Of a service.
	groups   map[string]bool // its objects, kind/namespace/name
	service  journal.Service
	missing  bool // the objective, in the window before
	requests bool // the journal has requests one by one
	pods     int  // of a node, told so far

	refused refusals // of a NodePool or node group
}

// newObjectTeller returns nil when the query names a pod or a job.
func newObjectTeller(query string) *objectTeller {
	first, rest, ok := strings.Cut(query, "/")
	kind := objectKinds[strings.ToLower(first)]
	if !ok || kind == "" || rest == "" {
		return nil
	}
	t := &objectTeller{query: query, kind: kind, name: rest, story: ObjectStory{Object: query, Events: []EventStory{}},
		groups: map[string]bool{}}
	t.like.want = rest
	switch kind {
	case "service":
		t.tell = t.tellService
	case "node":
		t.tell = t.tellNode
	case "request":
		t.tell = t.tellRequest
	default:
		if ns, name, ok := strings.Cut(rest, "/"); ok {
			t.namespace, t.name = ns, name
		}
		t.tell = t.tellScaled
	}
	return t
}

// explainObject reads the journal for a query about an object.
func explainObject(r *journal.Reader, t *objectTeller) (*Explanation, error) {
	out := &Explanation{Query: t.query, Pods: []PodStory{}}
	err := journal.Each(r, func(rec journal.Record) error {
		if run, ok := rec.Body.(journal.Run); ok {
			out.Run = run.Scenario
		}
		t.tell(rec.At, rec.Body)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !t.found {
		prefix := strings.ToLower(t.query[:len(t.query)-len(t.like.want)])
		e := &NotFoundError{Query: t.query, What: t.kind, Similar: t.like.names(prefix)}
		for _, name := range t.like.first {
			e.Others = append(e.Others, prefix+name)
		}
		if t.kind == "request" && !t.requests {
			e.Hint = "the run has no records of single requests; set journal: {requests: true} in the scenario"
		}
		return nil, e
	}
	out.Objects = []ObjectStory{t.story}
	return out, nil
}

func (t *objectTeller) add(at units.Time, b journal.Body, format string, args ...any) {
	t.found = true
	t.story.Events = append(t.story.Events, EventStory{at, fmt.Sprintf(format, args...), b})
}

// tellService tells of replicas, changes of their number, and spans of time in which the objective was missed.
func (t *objectTeller) tellService(at units.Time, b journal.Body) {
	switch b := b.(type) {
	case journal.Service:
		t.like.see(b.Service)
		if b.Service != t.name {
			return
		}
		t.found, t.service = true, b
		var groups []string
		for _, g := range b.Groups {
			t.groups[g.Kind+"/"+g.Group] = true
			groups = append(groups, fmt.Sprintf("%s %s of %s a replica", g.Kind, g.Group, gpus(g.GPUs)))
		}
		what := b.Engine
		if b.Model != "" {
			what = b.Model + " on " + b.Engine
		}
		t.story.About = what + "; " + strings.Join(groups, ", ") + t.objective()
	case journal.Replica:
		if b.Service == t.name {
			t.add(at, b, "replica %s", replicaText(&b, true))
		}
	case journal.Scale:
		if t.groups[b.Object] {
			t.add(at, b, "%s", scaleText(&b))
		}
	case journal.Requests:
		if b.Service == t.name {
			t.window(at, &b)
		}
	}
}

// objective says what the service should do.
func (t *objectTeller) objective() string {
	var parts []string
	for _, x := range []struct {
		name  string
		bound units.Duration
	}{{"TTFT", t.service.TTFT}, {"TPOT", t.service.TPOT}, {"end to end", t.service.E2E}} {
		if x.bound > 0 {
			parts = append(parts, x.name+" "+span(x.bound))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("; objective %s for %g %% of the requests", strings.Join(parts, ", "),
		float64(t.service.Target)/1e4)
}

// window tells where a span of missed objectives begins and ends, and what was lost.
func (t *objectTeller) window(at units.Time, b *journal.Requests) {
	if b.Lost > 0 {
		t.add(at, *b, "%s lost with replicas in the last %s", count(int(b.Lost), "attempt"), span(b.Span))
	}
	ended := b.Completed + b.Rejected + b.TimedOut
	if ended == 0 || t.objective() == "" {
		return
	}
	missing := float64(b.Good)*1e6 < float64(ended)*float64(t.service.Target)
	if missing != t.missing {
		word := "below"
		if !missing {
			word = "within"
		}
		t.add(at, *b, "%s its objective in the last %s: %d of %d requests were good; %d in flight, %s replicas", word,
			span(b.Span), b.Good, ended, b.InFlight, replicasOf(b))
	}
	t.missing = missing
}

// replicasOf is how many replicas served on average.
func replicasOf(b *journal.Requests) string {
	if b.Span <= 0 {
		return "0"
	}
	return strconv.FormatFloat(float64(b.Ready)/float64(b.Span), 'g', 3, 64)
}

func replicaText(b *journal.Replica, named bool) string {
	text := b.State
	if named {
		text = b.Replica + " " + text
	}
	if b.Device != "" {
		text += " on " + b.Device
	}
	if b.KVTokens > 0 {
		text += fmt.Sprintf(", KV cache of %d tokens", b.KVTokens)
	}
	if b.Speed > 0 && b.Speed != ideal {
		text += fmt.Sprintf(", at %s of its speed", strconv.FormatFloat(float64(b.Speed)/ideal, 'g', 3, 64))
	}
	return text + because(b.Reason)
}

func scaleText(b *journal.Scale) string {
	text := fmt.Sprintf("%s from %d to %d replicas", b.Object, b.From, b.To)
	if b.By != "" {
		text += " by " + b.By
	}
	if b.Reason != "" {
		text += ": " + b.Reason
	}
	return text
}

// nodePodsMax is how many bindings and releases of a node are told one by one.
const nodePodsMax = 100

// tellNode tells the life of a node, as a machine and as a place of pods.
func (t *objectTeller) tellNode(at units.Time, b journal.Body) {
	switch b := b.(type) {
	case journal.Node:
		if t.like.see(b.Node); b.Node == t.name {
			t.add(at, b, "node %s of pool %s, %s", b.State, b.Pool, gpus(units.MilliGPU(b.GPUs)*units.GPU))
		}
	case journal.Machine:
		if t.like.see(b.Node); b.Node == t.name {
			text := "machine " + b.State
			if b.Took > 0 {
				text += " after " + span(b.Took)
			}
			if b.By != "" {
				text += " by " + b.By
			}
			t.add(at, b, "%s", text+because(b.Reason))
		}
	case journal.PodBind:
		if b.Node == t.name {
			t.podOnNode(at, b, "pod %s is bound to it", b.Pod)
		}
	case journal.PodRelease:
		if b.Node == t.name {
			t.podOnNode(at, b, "pod %s releases its devices", b.Pod)
		}
	}
}

func (t *objectTeller) podOnNode(at units.Time, b journal.Body, format, pod string) {
	if t.pods++; t.pods <= nodePodsMax {
		t.add(at, b, format, pod)
	} else if t.pods == nodePodsMax+1 {
		t.add(at, nil, "… further pods come and go")
	}
}

// tellScaled tells who changed the replicas of an object, or what an autoscaler changed and said of itself.
func (t *objectTeller) tellScaled(at units.Time, b journal.Body) {
	switch b := b.(type) {
	case journal.Scale:
		if is, by := t.is(b.Object), t.is(b.By); is || by {
			t.add(at, b, "%s", scaleText(&b))
		}
	case journal.Condition:
		if t.is(b.Object) {
			text := b.Type + " is " + b.Status
			if b.Reason != "" {
				text += ", " + b.Reason
			}
			if b.Message != "" {
				text += ": " + b.Message
			}
			t.add(at, b, "%s", text)
		}
	case journal.Machine:
		if t.is(b.By) {
			t.order(at, &b)
		}
	case journal.Service:
		for _, g := range b.Groups {
			if t.is(g.Kind + "/" + g.Group) {
				t.found, t.story.About = true, fmt.Sprintf("replicas of service %s, %s each", b.Service, gpus(g.GPUs))
			}
		}
	}
}

// refusals are orders in a row that the cloud refused for one reason.
type refusals struct {
	reason string
	event  int // of the story
	n      int
	first  units.Time
}

// order tells of a machine that a NodePool or node group wanted; refusals in a row make one event.
func (t *objectTeller) order(at units.Time, b *journal.Machine) {
	switch {
	case b.State == journal.MachineOrdered:
		t.add(at, *b, "machine %s of pool %s is ordered%s", b.Node, b.Pool, because(b.Reason))
	case b.State != journal.MachineFailed:
		return
	case t.refused.n > 0 && t.refused.reason == b.Reason:
		t.refused.n++
		e := &t.story.Events[t.refused.event]
		e.Text = fmt.Sprintf("%d orders of machines of pool %s fail between %s and %s: %s", t.refused.n, b.Pool,
			span(t.refused.first.Sub(0)), span(at.Sub(0)), b.Reason)
		return
	default:
		t.add(at, *b, "an order of a machine of pool %s fails%s", b.Pool, because(b.Reason))
		t.refused = refusals{reason: b.Reason, event: len(t.story.Events) - 1, n: 1, first: at}
		return
	}
	t.refused = refusals{}
}

// is reports whether kind/namespace/name names the wanted object.
func (t *objectTeller) is(object string) bool {
	kind, rest, _ := strings.Cut(object, "/")
	if kind != t.kind {
		return false
	}
	namespace, name, ok := strings.Cut(rest, "/")
	if !ok { // of the cluster
		namespace, name = "", rest
	}
	t.like.see(name)
	return name == t.name && (t.namespace == "" || t.namespace == namespace)
}

// tellRequest tells one request, given as service/number.
func (t *objectTeller) tellRequest(_ units.Time, body journal.Body) {
	b, ok := body.(journal.RequestEnd)
	if !ok {
		return
	}
	if t.requests = true; fmt.Sprintf("%s/%d", b.Service, b.Request) != t.name {
		return
	}
	t.story.About = fmt.Sprintf("%d input tokens (%d of them cached), %d output tokens, %s", b.Input, b.Cached, b.Output,
		b.Outcome)
	if b.Tenant != "" {
		t.story.About += ", of " + b.Tenant
	}
	t.add(b.Arrived, nil, "arrived")
	if b.Begun > 0 {
		t.add(b.Begun, nil, "replica %s begins with it, %s after arrival", b.Replica, span(b.Begun.Sub(b.Arrived)))
	}
	if b.First > 0 {
		t.add(b.First, nil, "first token, %s after arrival", span(b.First.Sub(b.Arrived)))
	}
	text := b.Outcome + ", " + span(b.Ended.Sub(b.Arrived)) + " after arrival"
	if b.First > 0 && b.Output > 1 && b.Outcome == journal.RequestCompleted {
		text += ", " + span(b.Ended.Sub(b.First)/units.Duration(b.Output-1)) + " a token"
	}
	if b.Tries != 1 {
		text += fmt.Sprintf("; %d tries", b.Tries)
	}
	if b.Preemptions > 0 {
		text += fmt.Sprintf("; preempted %d times for want of KV cache", b.Preemptions)
	}
	if b.Outcome == journal.RequestCompleted {
		text += map[bool]string{true: "; within its objectives", false: "; not within its objectives"}[b.Good]
	}
	t.add(b.Ended, b, "%s", text)
}
