package traces

import (
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// StandardUnits are the units of every version 1 trace.
func StandardUnits() Units { return Units{Time: "s", CPU: "milli", Memory: "MiB", GPU: "milli"} }

// appendHeader appends the header line, newline included. Format and Units are set to those of this version.
func appendHeader(b []byte, h Header) ([]byte, error) {
	h.Format, h.Units = FormatVersion, StandardUnits()
	line, err := json.Marshal(h)
	if err != nil {
		return b, err
	}
	return append(append(b, line...), '\n'), nil
}

// appendJob appends a job that passed Check as one line, newline included. Keys come in a fixed order and those that
// hold their default are left out, so equal jobs are equal bytes.
func appendJob(b []byte, j *Job) []byte {
	b = append(b, `{"id":`...)
	b = appendText(b, j.ID)
	b = append(b, `,"submit_s":`...)
	b = AppendSeconds(b, j.Submit)
	b = append(b, `,"run_s":`...)
	b = AppendSeconds(b, j.Run)
	b = append(b, `,"gpus":`...)
	b = strconv.AppendInt(b, int64(j.GPUs), 10)
	if j.GPUs > 0 && j.GPUMilli != 1000 {
		b = append(b, `,"gpu_milli":`...)
		b = strconv.AppendInt(b, int64(j.GPUMilli), 10)
	}
	b = appendAmount(b, `,"pods":`, int64(j.Pods))
	b = appendAmount(b, `,"cpu_milli":`, j.CPUMilli)
	b = appendAmount(b, `,"memory_mib":`, j.MemoryMiB)
	if len(j.GPUModels) > 0 {
		b = append(b, `,"gpu_models":[`...)
		for i, m := range j.GPUModels {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, m)
		}
		b = append(b, ']')
	}
	b = appendOptional(b, `,"tenant":`, j.Tenant)
	b = appendOptional(b, `,"user":`, j.User)
	b = appendOptional(b, `,"class":`, j.Class)
	b = appendOptional(b, `,"priority":`, j.Priority)
	b = appendOptional(b, `,"outcome":`, j.Outcome)
	if j.ObservedWait != WaitUnknown {
		b = append(b, `,"observed_wait_s":`...)
		b = AppendSeconds(b, j.ObservedWait)
	}
	return append(b, '}', '\n')
}

func appendAmount(b []byte, key string, v int64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendInt(append(b, key...), v, 10)
}

func appendOptional(b []byte, key, v string) []byte {
	if v == "" {
		return b
	}
	return appendText(append(b, key...), v)
}

// appendText appends a JSON string. The error of AppendQuote is about invalid UTF-8 only, which Check has refused.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
