package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"orrery/sim/model/serving/commandline"
	"orrery/sim/plan"
)

// Warnings about the user's own objects of services.
const (
	WarnServerFlag  = "server-flag-unmodelled"  // a flag that would change the server, and that no model knows
	WarnServerOther = "server-flag-not-heeded"  // the scenario itself says otherwise
	WarnNoServer    = "server-start-unreadable" // nothing in the object's pods starts a known server
	WarnIdleDevices = "server-devices-idle"     // its pods ask for more than a replica computes on
)

// servedObject is what is read of a Deployment or LeaderWorkerSet; the API reads it in full.
type servedObject struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`
	} `yaml:"metadata"`
	Spec struct {
		Template servedPod `yaml:"template"`
		Group    struct {
			Size   *int       `yaml:"size"`
			Leader *servedPod `yaml:"leaderTemplate"`
			Worker servedPod  `yaml:"workerTemplate"`
		} `yaml:"leaderWorkerTemplate"`
	} `yaml:"spec"`
	Items []servedObject `yaml:"items"`
}

type servedPod struct {
	Spec struct {
		Containers []servedContainer `yaml:"containers"`
	} `yaml:"spec"`
}

type servedContainer struct {
	Name    string      `yaml:"name"`
	Image   yaml.Node   `yaml:"image"`
	Command []yaml.Node `yaml:"command"`
	Args    []yaml.Node `yaml:"args"`
	Env     []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
	Resources struct {
		Limits   map[string]yaml.Node `yaml:"limits"`
		Requests map[string]yaml.Node `yaml:"requests"`
	} `yaml:"resources"`
}

// pod is the pod that starts the server: of a LeaderWorkerSet the leader.
func (o *servedObject) pod() *servedPod {
	switch {
	case o.Kind != plan.KindLeaderWorkerSet:
		return &o.Spec.Template
	case o.Spec.Group.Leader != nil:
		return o.Spec.Group.Leader
	}
	return &o.Spec.Group.Worker
}

// served finds an object among the manifests. Files that are no YAML are reported when all are read.
func (s *Scenario) served(kind, namespace, name string) (*servedObject, string) {
	for _, f := range s.Manifests {
		dec := yaml.NewDecoder(strings.NewReader(f.Text))
		for {
			var o servedObject
			err := decodeServed(dec, &o)
			if errors.Is(err, io.EOF) {
				break
			}
			var mistyped *yaml.TypeError
			if err != nil && !errors.As(err, &mistyped) {
				break
			}
			for _, x := range append([]servedObject{o}, o.Items...) {
				if x.Kind == kind && x.Metadata.Name == name && cmp.Or(x.Metadata.Namespace, "default") == namespace {
					return &x, f.Name
				}
			}
		}
	}
	return nil, ""
}

func decodeServed(dec *yaml.Decoder, o *servedObject) (err error) {
	defer func() {
		if r := recover(); r != nil { // yaml.v3 panics on a few broken inputs
			err = fmt.Errorf("yaml: line 1: %v", r)
		}
	}()
	return dec.Decode(o)
}

// asWritten takes what the containers of services' own objects say of their servers, as if the scenario said so; what
// the scenario does say comes first. It reports whether there was anything; the scenario must then be decoded again.
func (s *Scenario) asWritten() (changed bool) {
	for i := range s.Services {
		v := &s.Services[i]
		for _, g := range v.groups() {
			if !g.FromManifest {
				continue
			}
			o, file := s.served(g.Kind, v.Namespace, g.object(v))
			if o == nil {
				continue // reported when all objects are known
			}
			w := written{s: s, path: fmt.Sprintf("services[%d]", i), field: g.field, service: v, file: file}
			w.object(o)
			changed = changed || w.changed
		}
	}
	return changed
}

// written is an object of the user's that keeps a group of replicas.
type written struct {
	s           *Scenario
	path, field string // of the service, and of the group inside it
	service     *Service
	file        string
	changed     bool
}

// object takes what an object says.
func (w *written) object(o *servedObject) {
	pod := o.pod()
	if o.Spec.Group.Size != nil && o.Kind == plan.KindLeaderWorkerSet {
		w.say(w.path+"."+w.field+".podsPerReplica", strconv.Itoa(*o.Spec.Group.Size),
			fmt.Sprintf("leaderWorkerTemplate.size %d", *o.Spec.Group.Size), 0)
	}
	for i := range pod.Spec.Containers {
		w.devices(&pod.Spec.Containers[i])
	}
	if w.service.Engine.Preset == plan.EngineBatch {
		return
	}
	for i := range pod.Spec.Containers {
		if w.server(&pod.Spec.Containers[i]) {
			return
		}
	}
	w.note(WarnNoServer, "nothing in its pods starts a server that is known; its engine is as the scenario says")
}

// devices takes what a container asks for, when it is what pools offer.
func (w *written) devices(c *servedContainer) {
	for _, list := range []map[string]yaml.Node{c.Resources.Limits, c.Resources.Requests} {
		for _, name := range sortedKeys(list) {
			if n := list[name]; contains(w.s.offered(), name) {
				w.say(w.path+"."+w.field+".resource", name, name, n.Line)
				w.say(w.path+"."+w.field+".resourceCount", n.Value, name+": "+n.Value, n.Line)
				return
			}
		}
	}
}

// server takes what the flags of a container's server say. It reports whether the container starts one.
func (w *written) server(c *servedContainer) bool {
	in := commandline.Container{Image: c.Image.Value, Command: texts(c.Command), Args: texts(c.Args),
		Env: map[string]string{}}
	for _, e := range c.Env {
		in.Env[e.Name] = e.Value
	}
	server, err := commandline.Read(in)
	if server.Engine == "" {
		return false
	}
	if err != nil {
		w.s.doc.Foreign(fmt.Sprintf("%s:%d: container %s: %v; correct it", w.file, c.line(""), c.Name, err))
	}
	w.say(w.path+".engine.preset", server.Engine, "image and command of "+server.Engine, c.line(""))
	for _, x := range server.Settings {
		at := c.line(x.Flag)
		if x.Field == commandline.Data {
			if x.Value != "1" {
				w.s.doc.Foreign(fmt.Sprintf("%s:%d: %s: several copies of a model inside one server are not modelled; make each "+
					"a replica of its own", w.file, at, x.Flag))
			}
			continue
		}
		w.say(w.target(x.Field), x.Value, x.Flag, at)
	}
	if len(server.Unmodelled) > 0 {
		w.note(WarnServerFlag, "no model knows what these flags change: "+strings.Join(server.Unmodelled, ", "))
	}
	return true
}

// target is the scenario's field of what a flag says.
func (w *written) target(f commandline.Field) string {
	switch f {
	case commandline.Tensor, commandline.Pipeline, commandline.Expert:
		return w.path + "." + w.field + "." + string(f)
	case commandline.Precision, commandline.KVPrecision:
		return w.path + "." + string(f)
	}
	return w.path + ".engine." + string(f)
}

// say sets a field of the scenario that the scenario leaves out. Where it differs the scenario comes first, and a note
// says so.
func (w *written) say(field, value, flag string, line int) {
	place := w.file
	if line > 0 {
		place += ":" + strconv.Itoa(line)
	}
	if n := w.s.doc.Node(field); n != nil {
		if !sameScalar(n.Value, value) {
			w.note(WarnServerOther, fmt.Sprintf("%s (%s) is not heeded: the scenario says %s = %s", flag, place, field,
				n.Value))
		}
		return
	}
	w.s.doc.Set(place+": "+flag+":", field+"="+value)
	w.changed = true
}

// sameScalar compares values as YAML takes them: 0.90 is 0.9.
func sameScalar(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return a == b || errX == nil && errY == nil && x == y
}

func (w *written) note(code, message string) {
	message = "service " + w.service.Name + ": " + message
	w.s.notes = append(w.s.notes, plan.Warning{Code: code, Message: message, Count: 1})
}

func texts(nodes []yaml.Node) (out []string) {
	for i := range nodes {
		out = append(out, nodes[i].Value)
	}
	return out
}

// line is where a flag stands, or else the container's command.
func (c *servedContainer) line(flag string) int {
	name, _, _ := strings.Cut(strings.ReplaceAll(flag, "=", " "), " ")
	nodes := append(append([]yaml.Node(nil), c.Command...), c.Args...)
	for i := range nodes {
		if before, _, ok := strings.Cut(nodes[i].Value, name); ok && flag != "" {
			if nodes[i].Style == yaml.LiteralStyle { // its text begins on the line after the mark
				return nodes[i].Line + 1 + strings.Count(before, "\n")
			}
			return nodes[i].Line
		}
	}
	if len(nodes) > 0 {
		return nodes[0].Line
	}
	return c.Image.Line
}
