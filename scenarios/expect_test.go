package scenarios

import (
	"strings"
	"testing"
)

// TestExpectPaths bounds numbers of services, starts and machines, and gets their names wrong.
func TestExpectPaths(t *testing.T) {
	served := &Scenario{Services: []Service{{Name: "chat"}, {Name: "code"}}}
	for path, want := range map[string]string{
		"serving.services.chat.ttft_seconds.p99":       "",
		"serving.services.code.slo_attainment":         "",
		"serving.services.code.requests.good":          "",
		"serving.services.chat.usd_per_million_tokens": "",
		"serving.requests.arrived":                     "",
		"serving.busy_gpu_hours":                       "",
		"starts.total_seconds.p95":                     "",
		"starts.stage_seconds.engine.mean":             "",
		"machines.machine_hours":                       "",
		"machines.step_seconds.ready.p95":              "",
		"serving.services.chta.ttft_seconds.p99":       `there is no service "chta"; did you mean "chat"?`,
		"serving.services.chat":                        "is a group of numbers, not one",
		"serving.services.chat.ttft.p99":               `serving.services.chat has no field "ttft"`,
		"serving.services.chat.ttft_seconds":           "is a group of numbers, not one",
		"serving.services.chat.model":                  "is not a number of result.json",
		"serving.services":                             "",
		"starts.stage_seconds.engin.mean":              `there is no stage of a start "engin"`,
		"machines.step_seconds.redy.mean":              `there is no state of a machine "redy"`,
	} {
		err := served.numberPath(path)
		switch {
		case path == "serving.services":
			if err == nil {
				t.Errorf("%s: a map of groups is no number", path)
			}
		case want == "" && err != nil:
			t.Errorf("%s: %v", path, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	none := &Scenario{}
	for _, path := range []string{"serving.services.chat.slo_attainment", "serving.requests.good", "starts.total_seconds.p95"} {
		if err := none.numberPath(path); err == nil || !strings.Contains(err.Error(), "the scenario has no service") {
			t.Errorf("%s without services: %v", path, err)
		}
	}
	if err := none.numberPath("machines.machine_hours"); err != nil {
		t.Error(err)
	}
}
