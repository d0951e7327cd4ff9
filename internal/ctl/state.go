package ctl

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"

	"github.com/trusch/jamesd/pkg/james"
)

// maxStates bounds a file of states, in bytes.
const maxStates = 64 << 20

// readStates reads the states of a file, one in each YAML document; empty
// documents are skipped. Every error names the file, the line and, from the
// second on, the document. Unlike decoding into a struct, it refuses what is
// probably a mistake: unknown keys, a missing list of apps, a word where a list
// belongs, two states of one device.
func readStates(file string, r io.Reader) ([]james.State, error) {
	limited := &io.LimitedReader{R: r, N: maxStates + 1}
	dec := yaml.NewDecoder(limited)
	var states []james.State
	lines := map[string]int{}
	for number := 1; ; number++ {
		var n yaml.Node
		err := dec.Decode(&n)
		if limited.N <= 0 {
			return nil, james.Errorf(james.KindInvalid, file, "is too large, the limit is %d bytes", maxStates)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		d := document{file: file, number: number}
		if err != nil {
			return nil, d.syntaxError(err)
		}
		root := resolve(n.Content[0])
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			continue
		}
		state, err := d.state(root)
		if err != nil {
			return nil, err
		}
		if first := lines[state.ID]; first != 0 {
			return nil, d.errorf(root, "device %s is in this file twice, first in line %d", state.ID, first)
		}
		lines[state.ID] = root.Line
		states = append(states, state)
	}
	if len(states) == 0 {
		return nil, james.Errorf(james.KindInvalid, file, "holds no state").
			WithHint("A state is what \"jamesd-ctl get-state\" prints.")
	}
	return states, nil
}

// document is where a state stands.
type document struct {
	file   string
	number int
}

func (d document) place(line int) string {
	where := d.file
	if line > 0 {
		where = fmt.Sprintf("%s:%d", d.file, line)
	}
	if d.number > 1 {
		where += fmt.Sprintf(" (document %d)", d.number)
	}
	return where
}

func (d document) errorf(n *yaml.Node, format string, args ...any) *james.Error {
	return james.Errorf(james.KindInvalid, d.place(n.Line), format, args...)
}

// at puts the place before an error about a value.
func (d document) at(n *yaml.Node, err error) error {
	if err == nil {
		return nil
	}
	return d.errorf(n, "%w", err)
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func (d document) syntaxError(err error) error {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil { // reading failed
		return james.Errorf(james.KindOf(err), d.file, "cannot be read: %w", err)
	}
	line, _ := strconv.Atoi(m[1])
	return james.Errorf(james.KindInvalid, d.place(line), "is not YAML: %s", m[2])
}

func (d document) state(root *yaml.Node) (james.State, error) {
	var s james.State
	fields, err := d.fields(without(root, ignored), "a state", "id", "systemtags", "apps", "purge", "download", "apply", "urgent")
	if err != nil {
		return s, err
	}
	id, apps := fields["id"], fields["apps"]
	switch {
	case id == nil:
		return s, d.errorf(root, "the key id is missing: whose state is it?")
	case apps == nil:
		return s, d.errorf(root, "the key apps is missing").
			WithHint("To uninstall everything say so: \"apps: []\".")
	}
	if s.ID, err = d.text(id, "id"); err != nil {
		return s, err
	}
	if err := james.CheckDeviceID(s.ID); err != nil {
		return s, d.at(id, err)
	}
	if s.SystemTags, err = d.tags(fields["systemtags"], "systemtags"); err != nil {
		return s, err
	}
	if s.Apps, err = d.apps(apps); err != nil {
		return s, err
	}
	if err := s.Validate(); err != nil {
		return s, d.at(apps, err)
	}
	if s.Schedule, err = d.schedule(fields); err != nil {
		return s, err
	}
	if fields["purge"] == nil {
		return s, nil
	}
	if s.Purge, err = d.names(fields["purge"], "purge"); err != nil {
		return s, err
	}
	return s, d.at(fields["purge"], s.Validate())
}

func (d document) apps(list *yaml.Node) ([]james.App, error) {
	if list.Kind != yaml.SequenceNode {
		return nil, d.errorf(list, "apps must be a list, this is %s", describe(list)).
			WithHint("Each app is a line \"- name: NAME\" with its tags below; none is \"apps: []\".")
	}
	if len(list.Content) > james.MaxApps {
		return nil, d.errorf(list, "there are %d apps, the limit is %d", len(list.Content), james.MaxApps)
	}
	apps := make([]james.App, 0, len(list.Content))
	seen := map[string]int{}
	for _, item := range list.Content {
		item = resolve(item)
		app, err := d.app(item)
		if err != nil {
			return nil, err
		}
		if first := seen[app.Name]; first != 0 {
			return nil, d.errorf(item, "app %s is listed twice, first in line %d; a device has one packet of a name", app.Name, first)
		}
		seen[app.Name] = item.Line
		apps = append(apps, app)
	}
	return apps, nil
}

func (d document) app(n *yaml.Node) (james.App, error) {
	var app james.App
	fields, err := d.fields(n, "an app", "name", "tags")
	if err != nil {
		return app, err
	}
	name := fields["name"]
	if name == nil {
		return app, d.errorf(n, "the app has no name")
	}
	if app.Name, err = d.text(name, "name"); err != nil {
		return app, err
	}
	if err := james.CheckName(app.Name); err != nil {
		return app, d.at(name, err)
	}
	app.Tags, err = d.tags(fields["tags"], "tags")
	return app, err
}
