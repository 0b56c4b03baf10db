package main

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// asProgram makes the test binary behave as the program, for tests that need a process of their own.
const asProgram = "ORRERY_TEST_AS_PROGRAM"

// fileLimit, with asProgram, bounds the size of files in bytes: what a full disk does, without one.
const fileLimit = "ORRERY_TEST_FILE_LIMIT"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	if n, err := strconv.ParseUint(os.Getenv(fileLimit), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			panic(err)
		}
	}
	main()
}

// output is what a command line gave.
type output struct {
	code           int
	stdout, stderr string
}

// cli runs a command line in this process.
func cli(args ...string) output {
	var stdout, stderr bytes.Buffer
	code := execute(context.Background(), args, &stdout, &stderr)
	return output{code, stdout.String(), stderr.String()}
}

// must runs a command line that must succeed and returns its result.
func must(t *testing.T, args ...string) string {
	t.Helper()
	o := cli(args...)
	if o.code != exitDone {
		t.Fatalf("orrery %s: exit code %d\n%s%s", strings.Join(args, " "), o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// refuses runs a command line that must fail with the exit code, with nothing on stdout and these words on stderr.
func refuses(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	o := cli(args...)
	if o.code != code {
		t.Errorf("orrery %s: exit code %d, want %d", strings.Join(args, " "), o.code, code)
	}
	if o.stdout != "" {
		t.Errorf("orrery %s: a result in spite of the error: %q", strings.Join(args, " "), o.stdout)
	}
	if !strings.HasPrefix(o.stderr, "orrery: ") {
		t.Errorf("the message does not begin with the program's name: %q", o.stderr)
	}
	for _, w := range words {
		if !strings.Contains(o.stderr, w) {
			t.Errorf("orrery %s: the message\n%slacks %q", strings.Join(args, " "), o.stderr, w)
		}
	}
}

// write makes files in a new folder and returns the folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// small is a cluster of one node of 8 GPUs; a test adds the trace.
const small = `apiVersion: orrery/v1
kind: Scenario
name: small
cluster:
  pools:
  - {name: a, gpu: L4, nodes: 1, gpusPerNode: 8, cpu: 96, memory: 768Gi}
`

const traceHead = `{"orrery_trace":1,"name":"t"}` + "\n"

func job(id, submit, run, gpus string) string {
	return `{"id":"` + id + `","submit_s":` + submit + `,"run_s":` + run + `,"gpus":` + gpus + "}\n"
}

// leftovers lists what lies in a folder, partial results included, but for the names given.
func leftovers(t *testing.T, dir string, but ...string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
next:
	for _, e := range entries {
		for _, b := range but {
			if e.Name() == b {
				continue next
			}
		}
		names = append(names, e.Name())
	}
	return names
}
