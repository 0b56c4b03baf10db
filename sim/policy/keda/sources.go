package keda

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones of cron triggers are known on machines that have no database of them, too

	"github.com/robfig/cron/v3"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"orrery/sim/units"
)

// cronFields are the fields of an expression that KEDA's parser reads.
const cronFields = cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow

// window is the time between two cron expressions. The next instants are kept until the first of them is reached.
type window struct {
	location           *time.Location
	start, end         cron.Schedule
	nextStart, nextEnd time.Time
	from               time.Time // when they were computed
}

// contains is the scaler's GetMetricsAndActivity: now is within the window when it ends before it begins again.
func (w *window) contains(now time.Time) bool {
	now = now.In(w.location)
	if now.Before(w.from) || !now.Before(w.nextStart) || !now.Before(w.nextEnd) {
		w.nextStart, w.nextEnd, w.from = w.start.Next(now), w.end.Next(now), now
	}
	if w.nextStart.Before(w.nextEnd) {
		return now.After(w.nextStart) && now.Before(w.nextEnd)
	}
	return now.After(w.nextStart) || now.Before(w.nextEnd)
}

// cron is pkg/scalers/cron_scaler.go.
func (t *trigger) cron(s sources, m *metadata, i int, kind autoscalingv2.MetricTargetType) error {
	start, end, zone := m.text("start"), m.text("end"), m.text("timezone")
	replicas := m.number("desiredReplicas")
	w := &window{}
	parser := cron.NewParser(cronFields)
	parse := func(name, text string) cron.Schedule {
		schedule, err := parser.Parse(text)
		if err != nil && text != "" {
			m.errs = append(m.errs, fmt.Errorf("error parsing %s schedule: %w", name, err))
		}
		return schedule
	}
	w.start, w.end = parse("start", start), parse("end", end)
	if start == end && start != "" {
		m.errs = append(m.errs, errors.New("start and end can not have exactly same time input"))
	}
	if _, ok := m.value("desiredReplicas"); ok && (replicas != float64(int64(replicas)) || replicas == 0) {
		m.errs = append(m.errs, fmt.Errorf("desiredReplicas %q is not a whole number other than 0",
			m.values["desiredReplicas"]))
	}
	var err error
	switch w.location, err = time.LoadLocation(zone); {
	case err != nil:
		m.errs = append(m.errs, fmt.Errorf("timezone %q is not known: write a name such as Europe/Berlin or UTC", zone))
	case w.location == time.Local:
		m.errs = append(m.errs, fmt.Errorf("timezone %q is another on each machine: write a name such as Europe/Berlin "+
			"or UTC", zone))
	}
	if s.clock != nil {
		t.read = func(now units.Time) (float64, bool, error) {
			if w.contains(s.clock(now)) {
				return replicas, true, nil
			}
			return 0, false, nil
		}
	}
	return t.external(i, fmt.Sprintf("cron-%s-%s-%s", zone, cronName(start), cronName(end)), kind, 1)
}

// cronName is parseCronTimeFormat.
func cronName(s string) string {
	return strings.NewReplacer(" ", "", "*", "x", "/", "Sl", "?", "Qm", ",", "Cm").Replace(s)
}

// podsGVR are pods.
var podsGVR = corev1.SchemeGroupVersion.WithResource("pods")

// workload is pkg/scalers/kubernetes_workload_scaler.go.
func (t *trigger) workload(s sources, m *metadata, i int, kind autoscalingv2.MetricTargetType, namespace string,
	modified bool) error {
	text := m.text("podSelector")
	value, activation, byNode := m.number("value", 0), m.number("activationValue", 0), m.flag("groupByNode", false)
	selector, err := labels.Parse(text)
	if err != nil {
		m.errs = append(m.errs, fmt.Errorf("error parsing pod selector: %w", err))
	}
	if value <= 0 && !modified {
		m.errs = append(m.errs, errors.New("value must be a float greater than 0"))
	}
	if s.store != nil {
		t.read = func(units.Time) (float64, bool, error) {
			pods, err := s.store.List(podsGVR, namespace, selector, nil)
			if err != nil {
				return 0, false, fmt.Errorf("error inspecting kubernetes workload: %w", err)
			}
			n, nodes := 0, map[string]bool{}
			for _, o := range pods {
				p := o.(*corev1.Pod)
				if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
					continue
				}
				n++
				if p.Spec.NodeName != "" {
					nodes[p.Spec.NodeName] = true
				}
			}
			if byNode {
				n = len(nodes)
			}
			return float64(n), float64(n) > activation, nil
		}
	}
	return t.external(i, "workload-"+namespace, kind, value)
}
