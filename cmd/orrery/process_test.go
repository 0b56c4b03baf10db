package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"orrery/sim/result"
)

// program is a command line as a process of its own.
func program(t *testing.T, env []string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c := exec.Command(self, args...)
	c.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	c.Stderr = &stderr
	return c, &stderr
}

// endless is a run that outlasts every test.
func endless(out string) []string {
	return []string{"run", "quickstart-small", "--set", "trace.generate.jobs=200000", "--set", "expect={}", "--out", out}
}

// partial waits for the folder of a run in progress.
func partial(t *testing.T, out string) string {
	t.Helper()
	for range 1000 {
		if found, _ := filepath.Glob(out + ".partial-*"); len(found) == 1 {
			return found[0]
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the run did not begin within 20 s")
	return ""
}

// TestKilled checks what SIGKILL leaves: nothing of the final name, and something every verb refuses as unfinished.
func TestKilled(t *testing.T) {
	out := filepath.Join(t.TempDir(), "r")
	c, _ := program(t, nil, endless(out)...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	left := partial(t, out)
	if err := errors.Join(c.Process.Kill(), c.Wait()); err == nil {
		t.Fatal("the run ended by itself")
	}
	if _, err := os.Lstat(out); err == nil {
		t.Fatal("a folder of the final name exists")
	}
	words := []string{"no whole result", "what a failed or killed run left", "run the scenario again"}
	refuses(t, exitUsage, words, "report", left)
	refuses(t, exitUsage, words, "explain", left, "job/x")
	renamed := filepath.Join(filepath.Dir(out), "renamed")
	if err := os.Rename(left, renamed); err != nil {
		t.Fatal(err)
	}
	refuses(t, exitUsage, []string{"no whole result", "has no result.json"}, "report", renamed)
}

// TestInterrupted checks that SIGINT ends a run with exit code 1, a plain word, and nothing left behind.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "r")
	c, stderr := program(t, nil, append(endless(out), "-q")...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	partial(t, out)
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the exit code says it
	if code := c.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if got := stderr.String(); got != "orrery: interrupted: "+out+" is not written\n" {
		t.Errorf("stderr %q", got)
	}
	if got := leftovers(t, dir); got != nil {
		t.Errorf("left behind: %v", got)
	}
}

// TestInterruptedWhileReading checks an interrupt before the run has begun.
func TestInterruptedWhileReading(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := execute(ctx, endless(filepath.Join(dir, "r")), &stdout, &stderr)
	if code != exitFailed || stdout.Len() > 0 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("code %d, stdout %q, stderr %q", code, &stdout, &stderr)
	}
	if got := leftovers(t, dir); got != nil {
		t.Errorf("left behind: %v", got)
	}
}

// TestDiskFull bounds the size of files so that writing fails early (the journal), or at the very end (the report).
func TestDiskFull(t *testing.T) {
	for name, limit := range map[string]string{"journal": "4096", "report": "500000"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, stderr := program(t, []string{fileLimit + "=" + limit}, "run", "quickstart-small", "-q", "--out",
				filepath.Join(dir, "r"))
			stdout, _ := c.Output() // the exit code says it
			if code := c.ProcessState.ExitCode(); code != exitFailed || len(stdout) > 0 {
				t.Errorf("exit code %d, stdout %q", code, stdout)
			}
			if got := stderr.String(); !strings.Contains(got, "file too large") || !strings.Contains(got, "writing") {
				t.Errorf("stderr %q", got)
			}
			if got := leftovers(t, dir); got != nil {
				t.Errorf("left behind: %v", got)
			}
		})
	}
}

// TestReadOnly checks a folder that cannot be written, which root always can.
func TestReadOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	refuses(t, exitFailed, []string{"permission denied"}, "run", "quickstart-small", "--out", filepath.Join(dir, "r"))
}

// TestReaderGone checks that a reader that goes away does not stop a run half-way: its folder is whole.
func TestReaderGone(t *testing.T) {
	out := filepath.Join(t.TempDir(), "r")
	c, _ := program(t, nil, "run", "quickstart-small", "--out", out)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	c.Stdout, c.Stderr = w, w
	_ = c.Run() // fails: nobody reads
	w.Close()
	if _, err := result.Open(out); err != nil {
		t.Error(err)
	}
}
