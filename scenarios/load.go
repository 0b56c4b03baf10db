package scenarios

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"orrery/sim/catalog"
	"orrery/sim/strict"
)

// fileSizeMax bounds files that a scenario names and that travel inside its resolved form.
const fileSizeMax = 16 << 20

// place is where a scenario's relative paths start.
type place struct {
	fsys fs.FS  // the shipped library; nil for the file system
	dir  string // folder of the scenario
	// traceless says that the trace, known by its SHA-256, need not be there.
	traceless bool
}

// Load reads a scenario from a file and applies overrides (path=value, the --set flag) in order. When there is no such
// file and the path is the name of a shipped scenario, that one is loaded. The error is a *strict.Error with every
// problem, each as file:line:column or as the flag, what is wrong and what to write instead.
func Load(path string, overrides []string) (*Scenario, error) {
	data, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	folder := statErr == nil && info.IsDir() // as of the results of a shipped scenario, which are called like it
	if (errors.Is(err, fs.ErrNotExist) || folder) && slices.Contains(names(), path) {
		return Open(path, overrides)
	}
	if folder {
		return nil, fmt.Errorf("%s is a directory; name a file in it, as %s", path, filepath.Join(path, "scenario.yaml"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such file, and no shipped scenario of this name; %s", path,
			strict.Suggest(path, names()))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the scenario: %w", err)
	}
	return load(path, data, overrides, place{dir: filepath.Dir(path)})
}

// Reload is Load for the scenario of a finished run, to look at its result again: the trace may be elsewhere by now.
func Reload(path string, overrides []string) (*Scenario, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the scenario: %w", err)
	}
	return load(path, data, overrides, place{dir: filepath.Dir(path), traceless: true})
}

// Parse is Load for a scenario in memory. name stands for the file in messages, and relative paths start at its folder.
func Parse(name string, data []byte, overrides ...string) (*Scenario, error) {
	return load(name, data, overrides, place{dir: filepath.Dir(name)})
}

func load(name string, data []byte, overrides []string, at place) (*Scenario, error) {
	d := strict.Parse(name, data)
	if err := d.Err(); err != nil {
		return nil, err // not YAML: everything else would only follow from this
	}
	for _, o := range overrides {
		d.Set("--set", o)
	}
	s := &Scenario{doc: d}
	s.SetDefaults()
	d.Decode(s)
	r := &reader{s: s, d: d, at: at}
	r.files()
	r.catalogue()
	r.nodeTypes()
	if d.Err() == nil && s.asWritten() {
		r.again()
	}
	s = r.s
	r.traceFile()
	r.requestFiles()
	r.nodeList()
	s.check()
	if err := d.Err(); err != nil {
		return nil, err
	}
	s.complete()
	return s, nil
}

// reader reads the files that a scenario names.
type reader struct {
	s  *Scenario
	d  *strict.Doc
	at place
}

// again decodes the scenario once more, with what its manifests say of servers. What was noted stays.
func (r *reader) again() {
	s := &Scenario{doc: r.d, notes: r.s.notes}
	s.SetDefaults()
	r.d.Decode(s)
	r.s = s
	r.files()
	r.catalogue()
	r.nodeTypes()
}

// files reads every file that travels with the scenario.
func (r *reader) files() {
	for _, group := range []struct {
		path string
		list []File
	}{{"catalog", r.s.Catalog}, {"stages", r.s.Stages}, {"manifests", r.s.Manifests}} {
		for i := range group.list {
			r.file(fmt.Sprintf("%s[%d]", group.path, i), &group.list[i])
		}
	}
	if r.s.Scheduler.Config != nil {
		r.file("scheduler.config", r.s.Scheduler.Config)
	}
}

func (r *reader) file(path string, f *File) {
	if f.path == "" {
		return
	}
	data, err := r.read(path, f.path)
	if err != nil {
		r.d.Problemf(path, "%s: %v", path, err)
		return
	}
	f.Text = string(data)
	if _, err := f.MarshalYAML(); err != nil {
		r.d.Problemf(path, "%s: %v; name a text file", path, err)
	}
}

func (r *reader) read(path, name string) ([]byte, error) {
	if r.at.fsys != nil && !r.d.FromFlag(path) {
		data, err := fs.ReadFile(r.at.fsys, filepath.ToSlash(filepath.Join(r.at.dir, name)))
		if err != nil {
			return nil, fmt.Errorf("the file %q does not come with the program; correct the path", name)
		}
		return data, nil
	}
	full := r.locate(path, name)
	if err := regular(full, name); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return nil, fmt.Errorf("the file %q cannot be read: %w", name, err)
	}
	if len(data) > fileSizeMax {
		return nil, fmt.Errorf("the file %q is larger than %d MiB; name a smaller one", name, fileSizeMax>>20)
	}
	return data, nil
}

// locate returns the path of a file the scenario names: from the scenario's folder, or from the current one when the
// name was given by a flag.
func (r *reader) locate(path, name string) string {
	if filepath.IsAbs(name) || r.d.FromFlag(path) || r.at.fsys != nil {
		return name
	}
	return filepath.Join(r.at.dir, name)
}

// regular checks that a file is there and is one.
func regular(full, name string) error {
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file %q (looked for %s); correct the path", name, full)
	case err != nil:
		return fmt.Errorf("the file %q cannot be read: %w", name, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is no regular file; name one", name)
	}
	return nil
}

// catalogue loads the embedded catalogue and the scenario's own files.
func (r *reader) catalogue() {
	var extra []catalog.File
	for _, f := range r.s.Catalog {
		if f.Text != "" { // else it could not be read, which is reported
			extra = append(extra, catalog.File{Name: f.Name, Data: []byte(f.Text)})
		}
	}
	c, err := catalog.Load(extra...)
	if err == nil {
		r.s.catalog = c
		return
	}
	r.s.foreign(err)
	if r.s.catalog, err = catalog.Load(); err != nil {
		panic(err) // the embedded catalogue is tested
	}
}

// foreign adds the problems of another file; they carry their own places.
func (s *Scenario) foreign(err error) {
	for _, line := range strings.Split(err.Error(), "\n") {
		s.doc.Foreign(line)
	}
}

// traceFile makes the trace's path independent of where it was written.
func (r *reader) traceFile() { r.absolute("trace.file", &r.s.Trace.File, r.s.Trace.SHA256) }

// requestFiles does the same with the files of services' requests.
func (r *reader) requestFiles() {
	for i := range r.s.Services {
		if q := r.s.Services[i].Requests; q != nil {
			r.absolute(fmt.Sprintf("services[%d].requests.file", i), &q.File, q.SHA256)
		}
	}
}

// absolute makes the path of a trace, which may be missing when its hash is known, independent of where it was written.
func (r *reader) absolute(field string, file *string, hash string) {
	if *file == "" || r.at.traceless && hash != "" {
		return
	}
	full := r.locate(field, *file)
	if err := regular(full, *file); err != nil {
		r.d.Problemf(field, "%s: %v", field, err)
		return
	}
	abs, err := filepath.Abs(full)
	if err != nil {
		r.d.Problemf(field, "%s: %v", field, err)
		return
	}
	*file = abs
}

// nodeList turns the nodes of a list into pools.
func (r *reader) nodeList() {
	l := r.s.Cluster.NodeList
	if l == nil || l.File == "" {
		return
	}
	full := r.locate("cluster.nodeList.file", l.File)
	if err := regular(full, l.File); err != nil {
		r.d.Problemf("cluster.nodeList.file", "cluster.nodeList.file: %v", err)
		return
	}
	pools, err := listedPools(full, l, r.s.catalog, r.s.Cluster.Pools)
	if err != nil {
		r.s.foreign(err)
		return
	}
	r.s.Cluster.Pools = append(r.s.Cluster.Pools, pools...)
}
