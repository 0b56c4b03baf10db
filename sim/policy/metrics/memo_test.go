package metrics_test

import (
	"math/rand/v2"
	"testing"

	"orrery/sim/policy/metrics"
	"orrery/sim/units"
)

// TestMemo asks about services that mostly stay as they are, once with everything remembered and once with everything
// forgotten before each question. Scrapes are regular but for some that are late or missing, pods that come and go, and
// long silences; questions come at odd instants, too.
func TestMemo(t *testing.T) {
	texts := append([]string{"g", "sum(rate(c_total[2m]))", `max_over_time(g[1m]) + 1`, `last_over_time(g{pod="chat-a"}[15s])`,
		`deriv(c_total[2m])`, `predict_linear(c_total[2m], 60)`, `absent(g{pod="chat-b"})`, `count_over_time(up[1m])`,
		`{service="chat"}`, `sum(g) by (pod) / 2 > 1`}, corpus...)
	r := rand.New(rand.NewPCG(3, 4))
	kept, fresh := newWorld(t, metrics.Options{Queries: texts}), newWorld(t, metrics.Options{Queries: texts})
	worlds := []*world{kept, fresh}
	pods := [][]*metrics.Target{make([]*metrics.Target, 2), make([]*metrics.Target, 2)}
	values, hits, asked := [2]int{}, 0, 0
	turn := units.Time(0)
	for i := range 400 {
		turn += sec(15)
		if i/50%2 == 1 { // for a while less often
			turn += sec(15)
		}
		at := turn
		if r.IntN(40) == 0 {
			at += sec(1 + 9*r.Float64())
		}
		silent := i >= 120 && i < 135 || i >= 220 && i < 250
		for pod := range 2 {
			event := r.IntN(120)
			if event < 4 {
				values[pod] += r.IntN(3)
			}
			for k, w := range worlds {
				w.now = at
				p := &pods[k][pod]
				switch {
				case *p == nil && (event < 30 || i == 0):
					*p = w.pod("chat-" + string(rune('a'+pod)))
				case *p == nil, silent:
				case event == 10:
					w.Remove(at, *p)
					*p = nil
				case event == 11:
					w.Fail(at, *p)
				case event == 12: // missed
				default:
					w.scrape(at, *p, "g", values[pod]%4, "c_total", 10*values[pod])
				}
			}
		}
		for _, after := range []units.Time{0, sec(7 * r.Float64())} {
			// Seldom at an odd instant; nobody asks about the times of change.
			if after > 0 && r.IntN(20) > 0 || i%50 > 47 || i%50 < 8 {
				continue
			}
			for _, text := range texts {
				fresh.Forget()
				before := kept.Memo(text)
				got, want := kept.ask(at+after, text), fresh.ask(at+after, text)
				if got != want {
					t.Fatalf("after scrape %d, at %s: %s = %q, want %q", i, at+after, text, got, want)
				}
				if asked++; before != nil && before == kept.Memo(text) {
					hits++
				}
			}
		}
	}
	t.Logf("%d of %d answers remembered", hits, asked)
	if hits < asked/4 {
		t.Errorf("%d of %d answers were remembered: the test says little", hits, asked)
	}
}
