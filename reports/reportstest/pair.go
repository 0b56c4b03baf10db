package reportstest

import "orrery/sim/result"

// Pair is a service under two policies, asked the same: the first misses its objective, the second meets it for twice
// the money.
func Pair() (lean, rich *result.Data) {
	lean, rich = Served(), Served()
	lean.Config = "name: lean\nservices:\n- name: chat\n  replicas: {count: 2}\n  slo: {ttft: 500ms}\n" +
		"manifests:\n- name: a.yaml\n  text: |\n    # two\n    spec:\n      minReplicas: 2\n      maxReplicas: 9\n"
	rich.Config = "name: rich\nservices:\n- name: chat\n  replicas: {count: 4}\n  slo: {ttft: 500ms}\n" +
		"manifests:\n- name: a.yaml\n  text: |\n    # four\n    spec:\n      minReplicas: 4\n      maxReplicas: 9\n"
	s := rich.Summary.Serving
	for name, v := range s.Services {
		v.USD, v.GPUHours, v.USDPerGoodRequest = 2*v.USD, 2*v.GPUHours, 2*v.USDPerGoodRequest
		s.Requests.Good += v.Requests.Completed - v.Requests.Good
		v.Requests.Good = v.Requests.Completed
		v.Requests.Completed, v.Requests.Good = v.Requests.Arrived, v.Requests.Arrived
		v.Requests.TimedOut = 0
		v.Attainment, v.ErrorBudgetUsed = 1, 0
		v.TTFT.P99 /= 10
		s.Services[name] = v
	}
	s.Requests.Completed, s.Requests.TimedOut, s.Requests.Good = s.Requests.Arrived, 0, s.Requests.Arrived
	s.USD, s.GPUHours = 2*s.USD, 2*s.GPUHours
	return lean, rich
}
