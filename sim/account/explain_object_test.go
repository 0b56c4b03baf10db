package account

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"orrery/sim/journal"
	"orrery/sim/units"
)

// told is the story of a query on records, or its error.
func told(t *testing.T, recs []journal.Record, query string) (string, error) {
	t.Helper()
	var file bytes.Buffer
	w := journal.NewWriter(&file)
	for _, r := range recs {
		w.Append(r.At, r.Body)
	}
	if _, _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := journal.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Explain(r, query)
	if err != nil {
		return "", err
	}
	if _, err := json.Marshal(e); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := e.Text(&out); err != nil {
		t.Fatal(err)
	}
	return out.String(), nil
}

// storied is the service of byHand with an autoscaler, a machine and a request.
func storied(requests bool) []journal.Record {
	p := served(chatService())
	hpa := "HorizontalPodAutoscaler/default/chat"
	p.at(0, journal.Machine{Node: "n0", Pool: "a", State: journal.MachineReady, Took: 90 * time.Second, By: "karpenter"},
		journal.Condition{Object: hpa, Type: "ScalingActive", Status: "True", Reason: "ValidMetricFound", Message: "fine"},
		journal.Scale{Object: "Deployment/default/chat", From: 1, To: 2, By: hpa, Reason: "pods metric x above target"})
	p.pod(0, "default/chat-0", "chat", 0, 2)
	p.at(0, replicaIs(journal.ReplicaStarting))
	p.at(time.Minute, journal.PodStage{Pod: "default/chat-0", Stage: journal.StageEngine, Took: time.Minute},
		replicaIs(journal.ReplicaReady), journal.Requests{Service: "chat", Span: time.Minute})
	bad := window(100, 99, 1)
	bad.Good, bad.Lost = 50, 2
	p.at(2*time.Minute, bad)
	if requests {
		p.at(2*time.Minute, journal.RequestEnd{Service: "chat", Request: 7, Outcome: journal.RequestCompleted,
			Replica: "default/chat-0", Tries: 2, Input: 100, Output: 11, Arrived: 61e9, Begun: 62e9, First: 63e9,
			Ended: 64e9, Good: false})
	}
	p.at(3*time.Minute, window(0, 1, 0), journal.End{Reason: "drained"})
	return p.recs
}

// TestExplainObjects tells every kind of object in whole.
func TestExplainObjects(t *testing.T) {
	for query, want := range map[string]string{
		"service/chat": `service/chat: vllm; Deployment default/chat of 2 GPUs a replica; objective TTFT 500ms for 99 % of the requests
   0:00:00.000  Deployment/default/chat from 1 to 2 replicas by HorizontalPodAutoscaler/default/chat: pods metric x above target
   0:00:00.000  replica default/chat-0 starting
   0:01:00.000  replica default/chat-0 ready
   0:02:00.000  2 attempts lost with replicas in the last 1m0s
   0:02:00.000  below its objective in the last 1m0s: 50 of 99 requests were good; 1 in flight, 1 replicas
   0:03:00.000  within its objective in the last 1m0s: 1 of 1 requests were good; 0 in flight, 1 replicas
`,
		"hpa/default/chat": `hpa/default/chat
   0:00:00.000  ScalingActive is True, ValidMetricFound: fine
   0:00:00.000  Deployment/default/chat from 1 to 2 replicas by HorizontalPodAutoscaler/default/chat: pods metric x above target
`,
		"deployment/chat": `deployment/chat: replicas of service chat, 2 GPUs each
   0:00:00.000  Deployment/default/chat from 1 to 2 replicas by HorizontalPodAutoscaler/default/chat: pods metric x above target
`,
		"node/n0": `node/n0
   0:00:00.000  node up of pool a, 8 GPUs
   0:00:00.000  machine ready after 1m30s by karpenter
   0:00:00.000  pod default/chat-0 is bound to it
`,
		"request/chat/7": `request/chat/7: 100 input tokens (0 of them cached), 11 output tokens, completed
   0:01:01.000  arrived
   0:01:02.000  replica default/chat-0 begins with it, 1s after arrival
   0:01:03.000  first token, 2s after arrival
   0:01:04.000  completed, 3s after arrival, 100ms a token; 2 tries; not within its objectives
`,
		"pod/default/chat-0": `pod default/chat-0: 2 GPUs, 0 milli-CPU, 0 MiB, priority 0
   0:00:00.000  created, waits for the scheduler
   0:00:00.000  bound to node n0, 0s after creation
   0:00:00.000  owns GPU 0,1
   0:00:00.000  containers run
   0:00:00.000  replica of service chat: starting
   0:01:00.000  start: engine done after 1m0s
   0:01:00.000  replica of service chat: ready
`,
	} {
		got, err := told(t, storied(true), query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		} else if got = squeeze(got); got != squeeze(want) {
			t.Errorf("%s:\n%swant\n%s", query, got, squeeze(want))
		}
	}
}

// squeeze takes the spaces at the beginning of lines away.
func squeeze(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		out.WriteString(strings.TrimLeft(line, " "))
	}
	return out.String()
}

// TestExplainRefusals: orders in a row that the cloud refuses for one reason are told once.
func TestExplainRefusals(t *testing.T) {
	p := served(chatService())
	for i := range 480 {
		p.at(units.Duration(i)*190*time.Second, journal.Machine{Node: "n", Pool: "a", State: journal.MachineFailed, By: "NodePool/gpu",
			Reason: "none"})
	}
	p.at(30*time.Hour, journal.Machine{Node: "n", Pool: "a", State: journal.MachineOrdered, By: "NodePool/gpu"},
		journal.Machine{Node: "m", Pool: "a", State: journal.MachineFailed, By: "NodePool/gpu", Reason: "none"},
		journal.Machine{Node: "m", Pool: "a", State: journal.MachineFailed, By: "NodeGroup/gpu", Reason: "none"},
		journal.End{Reason: "drained"})
	got, err := told(t, p.recs, "nodepool/gpu")
	if err != nil || strings.Count(got, "\n") != 4 ||
		!strings.Contains(got, "480 orders of machines of pool a fail between 0s and 25h16m50s: none") {
		t.Errorf("%v\n%s", err, got)
	}
}

// TestExplainNothing names what is like a wrong name, and says why there are no requests.
func TestExplainNothing(t *testing.T) {
	for query, want := range map[string]string{
		"service/chatt":  "did you mean service/chat?",
		"node/n1":        "did you mean node/n0?",
		"hpa/chaat":      "did you mean hpa/chat?",
		"lws/chat":       "nothing on the LeaderWorkerSet",
		"request/chat/7": "set journal: {requests: true}",
	} {
		_, err := told(t, storied(false), query)
		var missing *NotFoundError
		if !errors.As(err, &missing) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
	if _, err := told(t, storied(true), "request/chat/8"); err == nil || strings.Contains(err.Error(), "journal: {") {
		t.Errorf("a number that does not exist: %v", err)
	}
}
