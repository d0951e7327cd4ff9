package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/trusch/jamesd/pkg/james"
)

// setting is one line of a settings file.
type setting struct {
	key, value string
	place      string // file:line
}

func parse(fs *pflag.FlagSet, file string, raw []byte) ([]setting, error) {
	root, err := mapping(file, raw)
	if root == nil || err != nil {
		return nil, err
	}
	var out []setting
	lines := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		place := fmt.Sprintf("%s:%d", file, key.Line)
		flag := fs.Lookup(key.Value)
		if flag == nil || reserved[key.Value] || key.Kind != yaml.ScalarNode {
			return nil, unknownKey(fs, place, key.Value)
		}
		if first := lines[key.Value]; first != 0 {
			return nil, james.Errorf(james.KindInvalid, place, "%s is given twice, first in line %d", key.Value, first)
		}
		lines[key.Value] = key.Line
		text, err := flatten(flag, value, place)
		if err != nil {
			return nil, err
		}
		out = append(out, setting{key.Value, text, place})
	}
	return out, nil
}

// mapping returns the one document's mapping, or nil where the file says nothing.
func mapping(file string, raw []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntaxError(file, err)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, james.Errorf(james.KindInvalid, fmt.Sprintf("%s:%d", file, root.Line),
			"is not a mapping of settings; each line is \"name: value\"")
	}
	if err := dec.Decode(&more); err == nil {
		return nil, james.Errorf(james.KindInvalid, fmt.Sprintf("%s:%d", file, more.Line),
			"a second document begins here; settings are one document")
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, err)
	}
	return root, nil
}

// flatten returns the text that the flag's Set takes.
func flatten(flag *pflag.Flag, n *yaml.Node, place string) (string, error) {
	switch {
	case n.Kind == yaml.AliasNode:
		return flatten(flag, n.Alias, place)
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return "", james.Errorf(james.KindInvalid, place, "%s has no value", flag.Name).
			WithHint("Give it one or remove the line.")
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind == yaml.SequenceNode && takesList(flag.Value.Type()):
		return join(flag, n, place)
	case n.Kind == yaml.SequenceNode:
		return "", james.Errorf(james.KindInvalid, place, "%s is a list, one value is wanted", flag.Name)
	}
	return "", james.Errorf(james.KindInvalid, place, "%s is a mapping, a value or a list is wanted", flag.Name)
}

func join(flag *pflag.Flag, list *yaml.Node, place string) (string, error) {
	var items []string
	for i, item := range list.Content {
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" || strings.Contains(item.Value, ",") {
			return "", james.Errorf(james.KindInvalid, place, "item %d of %s is not a single value", i+1, flag.Name)
		}
		items = append(items, item.Value)
	}
	return strings.Join(items, ","), nil
}

// yamlError is how yaml.v3 words a syntax error.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func syntaxError(file string, err error) error {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return james.Errorf(james.KindInvalid, file, "is not YAML: %w", err)
	}
	line, atoiErr := strconv.Atoi(m[1])
	if atoiErr != nil {
		return james.Errorf(james.KindInvalid, file, "is not YAML: %s", m[2])
	}
	return james.Errorf(james.KindInvalid, fmt.Sprintf("%s:%d", file, line), "is not YAML: %s", m[2])
}
