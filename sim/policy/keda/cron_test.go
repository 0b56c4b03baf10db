package keda_test

import (
	"fmt"
	"testing"
	"time"
)

// TestCron checks windows of cron triggers by what the target does. Polls are every 60 s and 50 ms after the minute, the
// cool-down is 1 s, so that the target is there from the minute of the start to the minute after the last active poll.
func TestCron(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	york, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, zone, start, end string
		from                   time.Time // time zero
		hours                  int
		want                   []string // instants in UTC of coming and going
	}{
		{"a day", "UTC", "0 8 * * *", "30 18 * * *", time.Date(2030, 5, 6, 0, 0, 0, 0, time.UTC), 48,
			[]string{"06 08:00 up", "06 18:30 down", "07 08:00 up", "07 18:30 down"}},
		{"across midnight", "UTC", "0 22 * * *", "0 6 * * *", time.Date(2030, 5, 6, 0, 0, 0, 0, time.UTC), 48,
			[]string{"06 00:00 up", "06 06:00 down", "06 22:00 up", "07 06:00 down", "07 22:00 up"}},
		{"weekdays", "UTC", "0 9 * * 1-5", "0 17 * * 1-5", time.Date(2030, 5, 10, 0, 0, 0, 0, time.UTC), 96, // Friday
			[]string{"10 09:00 up", "10 17:00 down", "13 09:00 up", "13 17:00 down"}},
		// Berlin is at UTC+1 until 31 March 2030, 2:00, and at UTC+2 from then on.
		{"summer begins", "Europe/Berlin", "0 8 * * *", "0 9 * * *", time.Date(2030, 3, 30, 0, 0, 0, 0, time.UTC), 48,
			[]string{"30 07:00 up", "30 08:00 down", "31 06:00 up", "31 07:00 down"}},
		// 2:30 does not exist on that day, so that the next start is on the 1st of April, after the end at 5:00. To KEDA the
		// time before that end is then within a window.
		{"an hour that is not there", "Europe/Berlin", "30 2 * * *", "0 5 * * *", time.Date(2030, 3, 31, 0, 0, 0, 0, berlin), 48,
			[]string{"30 23:00 up", "31 03:00 down", "01 00:30 up", "01 03:00 down"}},
		// New York is at UTC−4 until 3 November 2030, 2:00, and at UTC−5 from then on.
		{"summer ends", "America/New_York", "0 8 * * *", "0 9 * * *", time.Date(2030, 11, 2, 0, 0, 0, 0, york), 48,
			[]string{"02 12:00 up", "02 13:00 down", "03 13:00 up", "03 14:00 down"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := play(t, app(0)+scaled(fmt.Sprintf(`  pollingInterval: 60
  cooldownPeriod: 1
  triggers:
  - {type: cron, metadata: {timezone: %s, start: "%s", end: "%s", desiredReplicas: "5"}}
`, x.zone, x.start, x.end)), time.Duration(x.hours)*time.Hour, func(w *world) { w.epoch = x.from })
			var got []string
			for _, s := range w.scales {
				var at string
				var from, to int
				if _, err := fmt.Sscanf(s, "%s %d->%d", &at, &from, &to); err != nil {
					t.Fatal(s, err)
				}
				d, err := time.ParseDuration(at)
				if err != nil {
					t.Fatal(err)
				}
				what := map[bool]string{true: "up", false: "down"}[to > from]
				got = append(got, x.from.Add(d).UTC().Format("02 15:04")+" "+what)
			}
			if fmt.Sprint(got) != fmt.Sprint(x.want) {
				t.Errorf("%q, want %q", got, x.want)
			}
		})
	}
}
