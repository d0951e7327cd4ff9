package ctl

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// tags reads a list of tags; nil, for a key that is not there, is the empty set.
func (d document) tags(list *yaml.Node, key string) (james.TagSet, error) {
	if list == nil {
		return james.TagSet{}, nil
	}
	tags, err := d.words(list, key, "a tag", "v1.0.0", james.CheckTag)
	if err != nil {
		return james.TagSet{}, err
	}
	set, err := james.NewTagSet(tags...)
	return set, d.at(list, err)
}

// schedule reads the keys of a state that say when it may become so.
func (d document) schedule(fields map[string]*yaml.Node) (s james.Schedule, err error) {
	if s.Download, err = d.window(fields["download"], "download"); err != nil {
		return s, err
	}
	if s.Apply, err = d.window(fields["apply"], "apply"); err != nil {
		return s, err
	}
	s.Urgent, err = d.truth(fields["urgent"], "urgent")
	return s, err
}

// window reads a window; nil is one that says nothing.
func (d document) window(n *yaml.Node, key string) (w james.Window, err error) {
	if n == nil {
		return w, nil
	}
	text, err := d.text(n, key)
	if err == nil {
		w, err = james.ParseWindow(text)
		err = d.at(n, err)
	}
	return w, err
}

// truth reads true or false; nil is false.
func (d document) truth(n *yaml.Node, key string) (bool, error) {
	if n == nil {
		return false, nil
	}
	var b bool
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&b) != nil {
		return false, d.errorf(n, "%s must be true or false, this is %s", key, describe(n))
	}
	return b, nil
}

// names reads a list of packets' names.
func (d document) names(list *yaml.Node, key string) ([]string, error) {
	return d.words(list, key, "a name", "openvpn", james.CheckName)
}

// words reads a list of words that check accepts.
func (d document) words(list *yaml.Node, key, what, example string, check func(string) error) ([]string, error) {
	if list.Kind != yaml.SequenceNode {
		return nil, d.errorf(list, "%s must be a list, this is %s", key, describe(list)).
			WithHint("Write it as \"%s: [%s]\".", key, example)
	}
	var words []string
	for _, item := range list.Content {
		item = resolve(item)
		word, err := d.text(item, what)
		if err != nil {
			return nil, err
		}
		if err := check(word); err != nil {
			return nil, d.at(item, err)
		}
		words = append(words, word)
	}
	return words, nil
}

// fields returns the values of a mapping that has no other keys than those.
func (d document) fields(n *yaml.Node, what string, keys ...string) (map[string]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, d.errorf(n, "%s must be a mapping with the keys %s, this is %s", what, strings.Join(keys, ", "), describe(n))
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		if !slices.Contains(keys, key.Value) || key.Kind != yaml.ScalarNode {
			return nil, unknownKey(d.errorf(key, "unknown key %q in %s, the keys are %s", key.Value, what, strings.Join(keys, ", ")), key.Value, keys)
		}
		if fields[key.Value] != nil {
			return nil, d.errorf(key, "%s is given twice, first in line %d", key.Value, fields[key.Value].Line)
		}
		fields[key.Value] = value
	}
	return fields, nil
}

// without returns a mapping without some keys; anything else as it is.
func without(n *yaml.Node, keys []string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return n
	}
	rest := *n
	rest.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Kind != yaml.ScalarNode || !slices.Contains(keys, key.Value) {
			rest.Content = append(rest.Content, n.Content[i:i+2]...)
		}
	}
	return &rest
}

func unknownKey(e *james.Error, key string, keys []string) error {
	if near := config.Nearest(key, keys); near != "" {
		return e.WithHint("Did you mean %q?", near)
	}
	if key == "version" {
		return e.WithHint("A version is a tag.")
	}
	return e
}

// text returns a scalar as it is written: the tag 1.10 is not 1.1.
func (d document) text(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", d.errorf(n, "%s must be a word, this is %s", what, describe(n))
	}
	switch n.ShortTag() {
	case "!!null":
		return "", d.errorf(n, "%s is empty", what)
	case "!!bool", "!!binary":
		return "", d.errorf(n, "%s must be a word, %s means %s in YAML", what, n.Value, describe(n)).
			WithHint("Put it in quotes: %q.", n.Value)
	}
	return n.Value, nil
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	case n.ShortTag() == "!!bool":
		return "true or false"
	case n.ShortTag() == "!!binary":
		return "binary data"
	}
	return fmt.Sprintf("the word %.60q", n.Value)
}

// resolve follows an alias. A cycle ends where the depth of a state does.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
