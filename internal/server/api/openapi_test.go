package api_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/pkg/james"
)

// document is what the tests look at of the OpenAPI document.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]yaml.Node
	Components struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema struct {
					AllOf []struct {
						Properties struct {
							Status struct{ Const int }
							Kind   struct {
								Const james.Kind
								Enum  []james.Kind
							}
						}
					} `yaml:"allOf"`
				}
			}
		}
		Schemas map[string]struct {
			Properties map[string]yaml.Node
			Required   []string
			Enum       []string
		}
		Parameters map[string]parameter
	}
}

type operation struct {
	OperationID string   `yaml:"operationId"`
	Access      []string `yaml:"x-access"`
	Parameters  []parameter
	RequestBody *struct{ Content map[string]any } `yaml:"requestBody"`
	Responses   map[string]yaml.Node
}

type parameter struct {
	Ref      string `yaml:"$ref"`
	Name, In string
}

func describe(t *testing.T) (doc document, operations map[string]operation) {
	t.Helper()
	must(t, yaml.Unmarshal(api.Description, &doc))
	operations = map[string]operation{}
	for path, item := range doc.Paths {
		for method, node := range item {
			if method == "parameters" {
				continue
			}
			var op operation
			must(t, node.Decode(&op))
			if shared, ok := item["parameters"]; ok {
				var more []parameter
				must(t, shared.Decode(&more))
				op.Parameters = append(op.Parameters, more...)
			}
			operations[strings.ToUpper(method)+" "+path] = op
		}
	}
	return doc, operations
}

// TestDescription compares the document with the table, both ways.
func TestDescription(t *testing.T) {
	t.Parallel()
	doc, operations := describe(t)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi: %s", doc.OpenAPI)
	}
	ids := map[string]bool{}
	for _, r := range api.Routes() {
		name := r.Method + " " + r.Path
		op, ok := operations[name]
		if !ok {
			t.Errorf("%s is not described", name)
			continue
		}
		delete(operations, name)
		if got := strings.Join(op.Access, ","); got != r.Access.String() {
			t.Errorf("%s: x-access is %s, the table says %s", name, got, r.Access)
		}
		if (op.RequestBody != nil) != (r.MaxBody != 0) {
			t.Errorf("%s: a body is described: %v", name, op.RequestBody != nil)
		}
		if ids[op.OperationID] || op.OperationID == "" {
			t.Errorf("%s: the operation's id %q is missing or taken", name, op.OperationID)
		}
		ids[op.OperationID] = true
		checkParameters(t, name, r, doc, op)
		checkResponses(t, name, r, op)
	}
	for name := range operations {
		t.Errorf("%s is described and does not exist", name)
	}
}

func checkParameters(t *testing.T, name string, r api.Route, doc document, op operation) {
	t.Helper()
	var query, path []string
	for _, p := range op.Parameters {
		if ref, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
			p = doc.Components.Parameters[ref]
		}
		switch p.In {
		case "query":
			query = append(query, p.Name)
		case "path":
			path = append(path, "{"+p.Name+"}")
		}
	}
	if !slices.Equal(query, r.Query) {
		t.Errorf("%s: describes the parameters %v, the table says %v", name, query, r.Query)
	}
	for _, p := range path {
		if !strings.Contains(r.Path, p) {
			t.Errorf("%s: the path has no %s", name, p)
		}
	}
	if len(path) != strings.Count(r.Path, "{") {
		t.Errorf("%s: describes the path's %v", name, path)
	}
}

// checkResponses: what any route may answer is described at every route.
func checkResponses(t *testing.T, name string, r api.Route, op operation) {
	t.Helper()
	want := []int{400, 401, 403, 405, 408, 413, 429, 500, 503}
	if strings.Contains(r.Path, "{") && r.Method != http.MethodPut {
		want = append(want, 404)
	}
	if r.MaxBody != 0 {
		want = append(want, 415)
	}
	success := false
	for status := range op.Responses {
		success = success || status[0] == '2'
	}
	if !success {
		t.Errorf("%s: describes no success", name)
	}
	for _, status := range want {
		if _, ok := op.Responses[strconv.Itoa(status)]; !ok {
			t.Errorf("%s: the status %d is not described", name, status)
		}
	}
}

// TestDescribedErrors: every kind and its status is there, and nothing else.
func TestDescribedErrors(t *testing.T) {
	t.Parallel()
	doc, _ := describe(t)
	described := map[james.Kind]bool{}
	for name, r := range doc.Components.Responses {
		problem, ok := r.Content["application/problem+json"]
		if !ok || len(problem.Schema.AllOf) != 2 {
			t.Errorf("the answer %s is no problem", name)
			continue
		}
		p := problem.Schema.AllOf[1].Properties
		of := p.Kind.Enum
		if p.Kind.Const != "" {
			of = append(of, p.Kind.Const)
		}
		if !slices.Contains(of, api.KindOf(p.Status.Const)) {
			t.Errorf("the answer %s has the status %d and the kinds %v", name, p.Status.Const, of)
		}
		for _, kind := range of {
			if api.StatusOf(kind) == p.Status.Const {
				described[kind] = true
			}
		}
	}
	for _, kind := range kinds {
		if !described[kind] {
			t.Errorf("no answer has the kind %s with its status %d", kind, api.StatusOf(kind))
		}
	}
	if got := doc.Components.Schemas["Kind"].Enum; len(got) != len(kinds) {
		t.Errorf("the kinds are %v", got)
	}
}

// TestDescribedBodies compares the schemas with the types of package james.
func TestDescribedBodies(t *testing.T) {
	t.Parallel()
	doc, _ := describe(t)
	bodies := []any{
		james.AddPacketRequest{}, james.AddPacketResponse{}, james.App{}, james.Archive{}, james.BlobsOffer{}, james.BlobsRequest{}, james.Contents{}, james.Cost{}, james.Difference{}, james.EntryDifference{}, james.ScriptDifference{}, james.Candidate{}, james.Change{}, james.Desired{},
		james.DeviceReport{}, james.DeviceStatus{}, james.Drift{}, james.Entry{}, james.Event{}, james.Explanation{}, james.FleetStatus{}, james.Glance{}, james.Health{},
		james.Manifest{}, james.Packet{},
		james.Plan{}, james.PlanResponse{}, james.PollRequest{}, james.PollResponse{}, james.PollStatus{}, james.Problem{}, james.ProblemDetails{}, james.Progress{},
		james.Report{}, james.Rollout{}, james.SetDesiredRequest{}, james.SetDesiredResponse{}, james.State{}, james.Step{}, james.Wants{}, james.Waiting{},
	}
	for _, body := range bodies {
		typ := reflect.TypeOf(body)
		schema, ok := doc.Components.Schemas[typ.Name()]
		if !ok {
			t.Errorf("there is no schema %s", typ.Name())
			continue
		}
		all, always := fields(typ)
		if got := slices.Sorted(maps.Keys(schema.Properties)); !slices.Equal(got, slices.Sorted(slices.Values(all))) {
			t.Errorf("%s is described with %v, it has %v", typ.Name(), got, all)
		}
		for _, name := range schema.Required {
			if !slices.Contains(always, name) {
				t.Errorf("%s.%s is described as required, and may be left out", typ.Name(), name)
			}
		}
	}
	for _, name := range []string{"Name", "Tag", "Tags", "DeviceID", "Digest", "Indices", "Time", "Kind", "Condition", "ScriptName", "Scripts", "Replaces", "Purge", "Window", "Urgent"} {
		delete(doc.Components.Schemas, name)
	}
	if len(doc.Components.Schemas) != len(bodies) {
		t.Errorf("there are %d schemas for %d bodies", len(doc.Components.Schemas), len(bodies))
	}
}

// fields returns the names of a type in JSON, and those that are never left out.
func fields(t reflect.Type) (all, always []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			a, b := fields(f.Type)
			all, always = append(all, a...), append(always, b...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		all = append(all, name)
		if options == "" {
			always = append(always, name)
		}
	}
	return all, always
}

// TestReferences: every $ref leads somewhere.
func TestReferences(t *testing.T) {
	t.Parallel()
	var root map[string]any
	must(t, yaml.Unmarshal(api.Description, &root))
	count := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				count++
				if !leads(root, ref) {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, c := range v {
				walk(c)
			}
		case []any:
			for _, c := range v {
				walk(c)
			}
		}
	}
	walk(root)
	if count < 100 {
		t.Errorf("only %d references were found", count)
	}
}

// TestSentences: a description whose comma ends it, as it does in braces, leaves
// a key of several words without a value behind.
func TestSentences(t *testing.T) {
	t.Parallel()
	var root yaml.Node
	must(t, yaml.Unmarshal(api.Description, &root))
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, c := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && (strings.Contains(c.Value, " ") || n.Content[i+1].ShortTag() == "!!null") {
				t.Errorf("line %d: %q is no key", c.Line, c.Value)
			}
			walk(c)
		}
	}
	walk(&root)
}

func leads(root map[string]any, ref string) bool {
	var at any = root
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		m, ok := at.(map[string]any)
		if !ok {
			return false
		}
		if at, ok = m[name]; !ok {
			return false
		}
	}
	return true
}

func TestDescriptionIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, as := range []string{"root", "device-1"} {
		got := w.ask(t, transport(t, as), "GET", "/v1/openapi.yaml", nil, nil)
		if got.StatusCode != http.StatusOK || string(got.body) != string(api.Description) || got.Header.Get("Content-Type") != "application/yaml" {
			t.Errorf("%s got %d, %d bytes", as, got.StatusCode, len(got.body))
		}
	}
}
