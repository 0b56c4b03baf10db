package html_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"orrery/reports"
	"orrery/reports/html"
	"orrery/reports/reportstest"
	"orrery/sim/result"
)

// browser starts a headless Chromium with a fresh profile and no traffic of its own. Without one installed the test is
// skipped, or fails where ORRERY_REQUIRE_BROWSER=1 says that there must be one.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("ORRERY_REQUIRE_BROWSER") == "1" {
			t.Fatal("ORRERY_REQUIRE_BROWSER=1, but no chromium is installed")
		}
		t.Skip("no chromium is installed; set ORRERY_REQUIRE_BROWSER=1 to make this a failure")
	}
	profile, err := os.MkdirTemp("", "orrery-browser-*")
	if err != nil {
		t.Fatal(err)
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true)}
	limit, stop := context.WithTimeout(context.Background(), 60*time.Second)
	allocator, stopAllocator := chromedp.NewExecAllocator(limit, options...)
	ctx, stopBrowser := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		stopBrowser()
		stopAllocator()
		stop()
		_ = os.RemoveAll(profile) // Chromium may still write to it for a moment, so a failure here is none of the report's
	})
	return ctx
}

// complaints collects what a page logs, throws or tries to load.
type complaints struct {
	sync.Mutex
	list []string
}

func (c *complaints) listen(ctx context.Context) error {
	return chromedp.Listen(ctx, func(ev any) {
		c.Lock()
		defer c.Unlock()
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			c.list = append(c.list, fmt.Sprintf("exception: %+v", e.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			c.list = append(c.list, fmt.Sprintf("console.%s: %v", e.Type, e.Args))
		case *log.EventEntryAdded:
			c.list = append(c.list, fmt.Sprintf("log: %s %s", e.Entry.Level, e.Entry.Text))
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; !strings.HasPrefix(u, "file://") && !strings.HasPrefix(u, "data:") {
				c.list = append(c.list, "request: "+u)
			}
		}
	})
}

func (c *complaints) check(t *testing.T) {
	t.Helper()
	c.Lock()
	defer c.Unlock()
	for _, s := range c.list {
		t.Error("the page complains:", s)
	}
}

func write(t *testing.T, d *result.Data) string {
	t.Helper()
	var b bytes.Buffer
	if err := html.Render(&b, d); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// drawn asks the page, once every chart is drawn, which charts have a canvas with something on it.
const drawn = `(() => {
  window.dispatchEvent(new Event("beforeprint"));
  document.querySelectorAll("details").forEach(d => { d.open = false; });
  return Array.from(document.querySelectorAll(".chart")).map(el => {
    const c = el.querySelector("canvas");
    if (!c || !c.width || !c.height) { return el.id + ": no canvas"; }
    const p = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    const seen = new Set();
    let inked = 0;
    for (let i = 0; i < p.length; i += 4) {
      if (p[i + 3]) { seen.add(p[i] << 16 | p[i + 1] << 8 | p[i + 2]); inked++; }
    }
    const share = inked / (p.length / 4);
    if (/^chart-(nodes|domains)-heat/.test(el.id) && share < 0.35) { return el.id + ": only " + share + " of it is drawn"; }
    return seen.size > 8 ? el.id + ": ok" : el.id + ": only " + seen.size + " colours";
  });
})()`

// TestBrowser opens the report in a browser: nothing is logged, thrown or fetched, no name runs as a script, every
// panel is there and every chart shows something.
func TestBrowser(t *testing.T) {
	ctx := browser(t)
	screenshots := os.Getenv("ORRERY_SCREENSHOT_DIR")
	keep := screenshots != ""
	if !keep {
		screenshots = t.TempDir()
	}
	var said complaints
	if err := said.listen(ctx); err != nil {
		t.Fatal("starting the browser: ", err)
	}
	cases := []struct {
		name          string
		data          *result.Data
		width, height int64
	}{{"small", reportstest.Small(), 1280, 900}, {"phone", reportstest.Small(), 390, 844},
		{"served", reportstest.Served(), 1280, 900},
		{"large", reportstest.Large(), 1440, 900}, {"pending", reportstest.AllPending(), 1280, 900},
		{"empty", reportstest.Empty(), 1280, 900}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Cleanup(func() { said.check(t) }) // also when a step below fails: it is then the reason
			must(t, ctx, chromedp.EmulateViewport(tc.width, tc.height))
			must(t, ctx, chromedp.Navigate(write(t, tc.data)))
			// Charts in view are drawn when the browser says they are; wait for that, not for a time.
			must(t, ctx, chromedp.Poll[bool](`!document.querySelector(".chart") ||
				!!document.querySelector(".chart canvas") || window.innerHeight < 860`,
				chromedp.WithPollingTimeout(10*time.Second)))
			fold := must(t, ctx, chromedp.CaptureScreenshot())
			panels := must(t, ctx, chromedp.Evaluate[[]string](
				`Array.from(document.querySelectorAll("section.panel")).map(s => s.id)`))
			states := must(t, ctx, chromedp.Evaluate[[]string](drawn))
			wide := must(t, ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - window.innerWidth`))
			pictures := map[string][]byte{tc.name + "-fold.png": fold}
			if keep || tc.name == "small" { // a page of 12,000 pixels takes a second
				pictures[tc.name+"-full.png"] = must(t, ctx, chromedp.FullScreenshot(100))
			}
			if wide > 0 {
				t.Errorf("the page is %d pixels wider than the window", wide)
			}
			checkPanels(t, tc.data, panels, states)
			if tc.name == "small" {
				checkDrawn(t, states, "slo-attainment-chat", "slo-budget-chat", "load-load-chat", "load-replicas-chat",
					"load-queue-chat", "latency-ttft-chat", "latency-ttft-histogram-chat", "latency-tpot-chat",
					"serving-cost-gpu-hours-by-service", "scaling-wanted", "starts-start-stages")
				checkDrawn(t, states, "fragmentation-causes-over-time", "mig-use-by-profile", "locality-within-by-layer",
					"speed-slowdown-histogram", "speed-lost-by-cause", "gangs-gang-waits", "domains-heat-1", "domains-heat-2")
			}
			for name, png := range pictures {
				if err := os.WriteFile(filepath.Join(screenshots, name), png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestBrowserComparison opens a comparison: nothing is logged, thrown or fetched, and every chart shows something.
func TestBrowserComparison(t *testing.T) {
	ctx := browser(t)
	var said complaints
	if err := said.listen(ctx); err != nil {
		t.Fatal("starting the browser: ", err)
	}
	page, c := compared(t)
	path := filepath.Join(t.TempDir(), "compare.html")
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, ctx, chromedp.EmulateViewport(1280, 900))
	must(t, ctx, chromedp.Navigate("file://"+path))
	states := must(t, ctx, chromedp.Evaluate[[]string](drawn))
	if wide := must(t, ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - window.innerWidth`)); wide > 0 {
		t.Errorf("the page is %d pixels wider than the window", wide)
	}
	charts := 0
	for _, s := range c.Sections {
		charts += len(s.Charts)
	}
	if len(states) != charts || charts == 0 {
		t.Errorf("%d charts in the page, %d in the model", len(states), charts)
	}
	for _, s := range states {
		if !strings.HasSuffix(s, ": ok") {
			t.Error("chart ", s)
		}
	}
	if dir := os.Getenv("ORRERY_SCREENSHOT_DIR"); dir != "" {
		png := must(t, ctx, chromedp.FullScreenshot(100))
		if err := os.WriteFile(filepath.Join(dir, "compare-full.png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	said.check(t)
}

// must runs an action in the browser.
func must[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// checkDrawn holds that charts which only some runs have are drawn in one that has everything.
func checkDrawn(t *testing.T, states []string, charts ...string) {
	t.Helper()
	for _, c := range charts {
		if !slices.Contains(states, "chart-"+c+": ok") {
			t.Errorf("chart %s is not drawn: %v", c, states)
		}
	}
}

func checkPanels(t *testing.T, d *result.Data, panels, states []string) {
	t.Helper()
	have := strings.Join(panels, " ") + " "
	charts := 0
	for _, s := range reports.Build(d) {
		charts += len(s.Charts)
		if !strings.Contains(have, s.ID+" ") {
			t.Errorf("panel %s is missing in %s", s.ID, have)
		}
	}
	if len(states) != charts {
		t.Errorf("%d charts in the page, %d in the model", len(states), charts)
	}
	for _, s := range states {
		if !strings.HasSuffix(s, ": ok") {
			t.Error("chart ", s)
		}
	}
}
