package result

// ReplicaRow is a row of tables/replicas.parquet: the life of one replica, and where the time of its start went. Times
// are seconds since time zero, those of stages seconds that they took; what never came, or not before the end of the
// run, is null. Of a replica of several pods the first one's node and stages are told.
type ReplicaRow struct {
	Service        string   `parquet:"service,dict"`
	Group          string   `parquet:"group,dict"` // namespace/name of the object
	Replica        string   `parquet:"replica"`
	Node           string   `parquet:"node,dict"`
	GPUs           float64  `parquet:"gpus"`
	CreatedSeconds float64  `parquet:"created_seconds"`
	BoundSeconds   *float64 `parquet:"bound_seconds,optional"`
	ReadySeconds   *float64 `parquet:"ready_seconds,optional"`
	DrainSeconds   *float64 `parquet:"draining_seconds,optional"`
	GoneSeconds    *float64 `parquet:"gone_seconds,optional"`
	Sandbox        *float64 `parquet:"sandbox_took_seconds,optional"`
	Image          *float64 `parquet:"image_pull_took_seconds,optional"`
	Weights        *float64 `parquet:"weights_took_seconds,optional"`
	Engine         *float64 `parquet:"engine_took_seconds,optional"`
	Snapshot       *float64 `parquet:"snapshot_restore_took_seconds,optional"`
	Join           *float64 `parquet:"join_took_seconds,optional"`
	Reason         string   `parquet:"reason,dict"` // of its latest state, where one was told
}

// MachineRow is a row of tables/machines.parquet: the life of one machine of a cloud. Times are seconds since time
// zero; what never came is null.
type MachineRow struct {
	Node               string   `parquet:"node"`
	Pool               string   `parquet:"pool,dict"`
	By                 string   `parquet:"by,dict"` // who ordered it
	OrderedSeconds     *float64 `parquet:"ordered_seconds,optional"`
	FailedSeconds      *float64 `parquet:"failed_seconds,optional"`
	LaunchedSeconds    *float64 `parquet:"launched_seconds,optional"` // paid for from here
	RegisteredSeconds  *float64 `parquet:"registered_seconds,optional"`
	ReadySeconds       *float64 `parquet:"ready_seconds,optional"`
	InterruptedSeconds *float64 `parquet:"interrupted_seconds,optional"`
	TerminatingSeconds *float64 `parquet:"terminating_seconds,optional"`
	GoneSeconds        *float64 `parquet:"gone_seconds,optional"` // to here
	PaidHours          float64  `parquet:"paid_hours"`            // machine-hours
	Reason             string   `parquet:"reason,dict"`           // why it was ended, or could not be had
}

// ScalingRow is a row of tables/scalings.parquet: a change of the replicas that an object should have.
type ScalingRow struct {
	TSeconds float64 `parquet:"t_seconds"`
	Object   string  `parquet:"object,dict"` // kind/namespace/name
	From     int32   `parquet:"from_replicas"`
	To       int32   `parquet:"to_replicas"`
	By       string  `parquet:"by,dict"`
	Reason   string  `parquet:"reason,dict"`
}

// scalingRows returns the rows of tables/scalings.parquet.
func scalingRows(d *Data) []ScalingRow {
	out := make([]ScalingRow, len(d.Scalings))
	for i, s := range d.Scalings {
		out[i] = ScalingRow{TSeconds: s.Seconds, Object: s.Object, From: s.From, To: s.To, By: s.By, Reason: s.Reason}
	}
	return out
}
