package result

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
)

// rowsPerGroup is how many rows a row group holds: the writer's memory, and the grain at which readers skip.
const rowsPerGroup = 64 << 10

// batchRows is how many rows are handed to the Parquet writer at a time; its cost is by call.
const batchRows = 256

// table streams rows of one type into a Parquet file. The bytes depend on the rows alone: one codec at a fixed level,
// a fixed application name, no times, no identifiers.
type table[T any] struct {
	file  *os.File
	w     *parquet.GenericWriter[T]
	batch []T
	err   error
}

func createTable[T any](path string) (*table[T], error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	// Snappy, because rows are added inside a run's bubble of virtual time and the file is closed outside of it: the zstd
	// codec keeps channels from call to call, and a channel of a bubble must not be used elsewhere.
	w := parquet.NewGenericWriter[T](file, parquet.Compression(&parquet.Snappy),
		parquet.MaxRowsPerRowGroup(rowsPerGroup), parquet.CreatedBy("orrery", fmt.Sprint(SchemaVersion), ""))
	return &table[T]{file: file, w: w, batch: make([]T, 0, batchRows)}, nil
}

// add appends a row. The first error stays.
func (t *table[T]) add(row T) error {
	if t.err != nil {
		return t.err
	}
	t.batch = append(t.batch, row)
	if len(t.batch) == batchRows {
		t.flush()
	}
	return t.err
}

func (t *table[T]) flush() {
	if _, err := t.w.Write(t.batch); err != nil && t.err == nil {
		t.err = fmt.Errorf("%s: %w", t.file.Name(), err)
	}
	clear(t.batch)
	t.batch = t.batch[:0]
}

// close finishes the file and forces it to the disk.
func (t *table[T]) close() error {
	if t.err == nil {
		t.flush()
	}
	if t.err != nil {
		return errors.Join(t.err, t.file.Close())
	}
	if err := t.w.Close(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", t.file.Name(), err), t.file.Close())
	}
	return syncClose(t.file)
}

// abandon closes the file as it is.
func (t *table[T]) abandon() {
	if t != nil {
		t.file.Close()
	}
}

func syncClose(f *os.File) error { return errors.Join(f.Sync(), f.Close()) }

// readTable calls each with every row of the Parquet file at path, in order.
func readTable[T any](path string, each func(T) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := parquet.NewGenericReader[T](p)
	defer func() { _ = r.Close() }()
	rows := make([]T, batchRows)
	for {
		clear(rows)
		n, err := r.Read(rows)
		for _, row := range rows[:n] {
			if err := each(row); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

// nodeRows returns the rows of tables/nodes.parquet.
func nodeRows(d *Data) []NodeRow {
	out := make([]NodeRow, len(d.Nodes))
	for i, n := range d.Nodes {
		out[i] = NodeRow{Node: n.Name, Pool: n.Pool, GPUs: int32(n.GPUs), CapacityHours: n.CapHours,
			UsedHours: n.UsedHours, DownHours: n.DownHours}
	}
	return out
}

// seriesRows returns the rows of tables/series.parquet.
func seriesRows(d *Data) []SeriesRow {
	s := &d.Series
	out := make([]SeriesRow, len(s.T))
	for i := range out {
		out[i] = SeriesRow{TSeconds: s.T[i], Used: s.Used[i], IdleNoDemand: s.IdleNoDemand[i],
			IdleFragmented: s.IdleFragmented[i], IdleWaiting: s.IdleWaiting[i], Down: s.Down[i],
			PendingPods: s.PendingPods[i], RunningPods: s.RunningPods[i], PendingGPUs: s.PendingGPUs[i]}
	}
	return out
}

// serviceRows returns the rows of tables/services.parquet.
func serviceRows(d *Data) []ServiceRow {
	var out []ServiceRow
	for i := range d.Services {
		s := &d.Services[i].Series
		for j, t := range s.T {
			some := func(v float64) *float64 {
				if s.Completed[j] <= 0 || v <= 0 {
					return nil
				}
				return &v
			}
			row := ServiceRow{Service: d.Services[i].Name, TSeconds: t, BinSeconds: s.Bin, Arrived: s.Arrived[j],
				Completed: s.Completed[j], Rejected: s.Rejected[j], TimedOut: s.TimedOut[j], Good: s.Good[j],
				TTFT50: some(s.TTFT50[j]), TTFT95: some(s.TTFT95[j]), TTFT99: some(s.TTFT99[j]),
				TPOT50: some(s.TPOT50[j]), TPOT95: some(s.TPOT95[j]),
				TPOT99: some(s.TPOT99[j]), E2E50: some(s.E2E50[j]), E2E95: some(s.E2E95[j]), E2E99: some(s.E2E99[j]),
				Ready: s.Ready[j],
				Busy:  s.Busy[j], Running: s.Running[j], Waiting: s.Waiting[j], KV: s.KV[j], InFlight: s.InFlight[j],
				OutputTokens: s.OutputTokens[j]}
			if s.Completed[j]+s.Rejected[j]+s.TimedOut[j] > 0 {
				row.Attainment = &s.Attainment[j]
			}
			out = append(out, row)
		}
	}
	return out
}
