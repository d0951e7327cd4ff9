package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/trusch/jamesd/pkg/james"
)

// printState writes the founding document's YAML.
func printState(w io.Writer, s james.State) error { return encodeNode(w, s) }

// encodeNode writes v with the names that yaml.v3 gives its fields.
func encodeNode(w io.Writer, v any) error {
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return err
	}
	return printNode(w, &n)
}

// printYAML writes v with the names and the order that its JSON has.
func printYAML(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	n, err := nodeOf(dec)
	if err != nil {
		return err
	}
	return printNode(w, n)
}

// nodeOf reads one JSON value.
func nodeOf(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	scalar := func(tag, value string) (*yaml.Node, error) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}, nil
	}
	switch v := token.(type) {
	case string:
		return scalar("!!str", v)
	case json.Number:
		return scalar("!!int", v.String())
	case bool:
		return scalar("!!bool", fmt.Sprint(v))
	case nil:
		return scalar("!!null", "null")
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	if token == json.Delim('{') {
		n.Kind = yaml.MappingNode
	}
	for dec.More() { // of an object, the keys are read as values
		item, err := nodeOf(dec)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, item)
	}
	_, err = dec.Token()
	return n, err
}

// printNode writes YAML in the founding document's form, which yaml.v3 does not
// have: two spaces, the items of a list not indented below their key, and quotes
// only where YAML needs them.
func printNode(w io.Writer, n *yaml.Node) error {
	lines, err := render(n)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

func render(n *yaml.Node) ([]string, error) {
	switch {
	case n.Kind == yaml.ScalarNode:
		return renderScalar(n)
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		return []string{"[]"}, nil
	case n.Kind == yaml.MappingNode && len(n.Content) == 0:
		return []string{"{}"}, nil
	case n.Kind == yaml.SequenceNode:
		return renderSequence(n)
	case n.Kind == yaml.MappingNode:
		return renderMapping(n)
	}
	return nil, errors.New("YAML of this kind is never made")
}

func renderSequence(n *yaml.Node) (out []string, err error) {
	for _, item := range n.Content {
		lines, err := render(item)
		if err != nil {
			return nil, err
		}
		out = append(out, "- "+lines[0])
		out = append(out, indented(lines[1:])...)
	}
	return out, nil
}

func renderMapping(n *yaml.Node) (out []string, err error) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := renderQuoted(n.Content[i].Value)
		if err != nil {
			return nil, err
		}
		value := n.Content[i+1]
		lines, err := render(value)
		if err != nil {
			return nil, err
		}
		switch {
		case value.Kind == yaml.ScalarNode || len(value.Content) == 0:
			out = append(append(out, key+": "+lines[0]), lines[1:]...)
		case value.Kind == yaml.SequenceNode:
			out = append(append(out, key+":"), lines...)
		default:
			out = append(append(out, key+":"), indented(lines)...)
		}
	}
	return out, nil
}

func indented(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		if l != "" {
			out[i] = "  " + l
		}
	}
	return out
}

func renderScalar(n *yaml.Node) ([]string, error) {
	if n.ShortTag() != "!!str" {
		return []string{n.Value}, nil
	}
	if literal(n.Value) {
		body, end := strings.CutSuffix(n.Value, "\n")
		head := "|-"
		if end {
			head = "|"
		}
		return append([]string{head}, indented(strings.Split(body, "\n"))...), nil
	}
	line, err := renderQuoted(n.Value)
	return []string{line}, err
}

// literal reports whether s, such as the output of a script, reads best as lines.
func literal(s string) bool {
	if !utf8.ValidString(s) || !strings.Contains(s, "\n") || strings.HasSuffix(s, "\n\n") || strings.ContainsAny(s[:1], " \t\n") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '\n' && r != '\t' && !unicode.IsPrint(r)
	})
}

// renderQuoted writes s on one line, in the quotes that yaml.v3 finds necessary,
// except that it would not escape every line break.
func renderQuoted(s string) (string, error) {
	var v any = s
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		v = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
	}
	raw, err := yaml.Marshal(v)
	return strings.TrimSuffix(string(raw), "\n"), err
}
