package traces

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// WaitUnknown is the ObservedWait of a job whose wait in the source system is not known.
const WaitUnknown = -time.Second

// Outcomes of a job.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Killed    = "killed"
	Unknown   = "" // treated as succeeded
)

// Upper bounds of a job's amounts. They are far above any machine there is and keep every product of two of them, and
// sums over 2^20 jobs, inside 64 bits.
const (
	GPUsMax      = 1_000_000
	PodsMax      = 1_000_000
	CPUMilliMax  = 1_000_000_000_000
	MemoryMiBMax = 1_000_000_000_000
)

// Check returns everything wrong with a job on its own, without file and line. A job that passes can be written and
// read back unchanged.
func (j *Job) Check() []Problem {
	var out []Problem
	bad := func(fix, format string, args ...any) {
		out = append(out, Problem{Code: CodeValue, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
	if j.ID == "" {
		bad("give every job an id that is unique in the trace", "id is empty")
	}
	span := func(name string, d time.Duration) {
		if d < 0 || d > MaxTime {
			bad("write seconds between 0 and 3155760000 (100 years)", "%s is %.9g s", name, d.Seconds())
		}
	}
	span("submit_s", j.Submit)
	span("run_s", j.Run)
	if j.ObservedWait != WaitUnknown {
		span("observed_wait_s", j.ObservedWait)
	}
	amount := func(name string, v, most int64) {
		if v < 0 || v > most {
			bad(fmt.Sprintf("write a whole number from 0 to %d", most), "%s is %d", name, v)
		}
	}
	amount("gpus", int64(j.GPUs), GPUsMax)
	amount("pods", int64(j.Pods), PodsMax)
	amount("cpu_milli", j.CPUMilli, CPUMilliMax)
	amount("memory_mib", j.MemoryMiB, MemoryMiBMax)
	switch {
	case j.GPUs > 0 && (j.GPUMilli < 1 || j.GPUMilli > 1000):
		bad("write the share of each GPU in thousandths, 1 to 1000 (1000 = whole GPUs)", "gpu_milli is %d", j.GPUMilli)
	case j.GPUs == 0 && j.GPUMilli != 0:
		bad("leave gpu_milli out, or ask for GPUs", "gpu_milli is %d in a job without GPUs", j.GPUMilli)
	}
	switch j.Outcome {
	case Unknown, Succeeded, Failed, Killed:
	default:
		bad("write succeeded, failed or killed, or leave it out", "outcome is %q", Shorten(j.Outcome))
	}
	return append(out, j.checkText()...)
}

// checkText refuses text that cannot be written as JSON and read back, or would garble a terminal.
func (j *Job) checkText() []Problem {
	var out []Problem
	text := func(name, v string) {
		if !plain(v) {
			out = append(out, Problem{Code: CodeValue,
				Message: fmt.Sprintf("%s %q has control characters or is not valid UTF-8", name, Shorten(v)),
				Fix:     "write plain UTF-8 text"})
		}
	}
	text("id", j.ID)
	text("tenant", j.Tenant)
	text("user", j.User)
	text("class", j.Class)
	text("priority", j.Priority)
	for i, m := range j.GPUModels {
		text("gpu_models", m)
		if m == "" {
			out = append(out, Problem{Code: CodeValue, Message: fmt.Sprintf("gpu_models[%d] is empty", i),
				Fix: "name a GPU model, or leave gpu_models out for any"})
		}
	}
	return out
}

func plain(s string) bool {
	ascii := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	return ascii || utf8.ValidString(s)
}

// GPUAsked returns the GPU the whole job asks for, in thousandths.
func (j *Job) GPUAsked() int64 { return int64(j.GPUs) * int64(j.GPUMilli) }

// Forever says whether the job stays until the end of the run: no length and no outcome is known.
func (j *Job) Forever() bool { return j.Run == 0 && j.Outcome == Unknown }
