package api

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// decode reads the whole body as one JSON value into v.
func (c *call) decode(v any) error {
	if err := c.mediaType("application/json"); err != nil {
		return err
	}
	if err := decodeJSON(c.counted(), v); err != nil {
		return c.because(err)
	}
	return c.work()
}

// mediaType refuses a body of another type.
func (c *call) mediaType(want string) error {
	header := c.r.Header.Get("Content-Type")
	if header == want {
		return nil
	}
	if got, _, err := mime.ParseMediaType(header); err != nil || got != want {
		return refuse(http.StatusUnsupportedMediaType, "the body must be %s, not %q", want, header)
	}
	return nil
}

// because returns why the request failed: where its body could not be read, that
// is the cause and err a consequence.
func (c *call) because(err error) error {
	if failed := c.body.failed(); failed != nil && err != nil {
		return failed
	}
	return err
}

// decodeJSON reads exactly one JSON value from r, without unknown fields.
func decodeJSON(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return malformed(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return james.Errorf(james.KindInvalid, "", "malformed JSON: more follows after the value")
	}
	return nil
}

func malformed(err error) error {
	var own *james.Error
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &wrongType) && wrongType.Field == "":
		return james.Errorf(james.KindInvalid, "", "malformed JSON: %s where an object must be", withArticle(wrongType.Value))
	case errors.As(err, &wrongType):
		return james.Errorf(james.KindInvalid, "", "malformed JSON: %s: %s does not go there", wrongType.Field, withArticle(wrongType.Value))
	case errors.Is(err, io.EOF):
		return james.Errorf(james.KindInvalid, "", "the body is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return james.Errorf(james.KindInvalid, "", "malformed JSON: it ends in the middle")
	}
	return james.Errorf(james.KindInvalid, "", "malformed JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// withArticle returns what encoding/json calls a value, as part of a sentence.
func withArticle(value string) string {
	if strings.HasPrefix(value, "array") || strings.HasPrefix(value, "object") {
		return "an " + value
	}
	return "a " + value
}

// checkQuery refuses a malformed query, and parameters that the route does not
// have, or has twice.
func (c *call) checkQuery() error {
	if c.r.URL.RawQuery == "" {
		return nil
	}
	if _, err := url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return james.Errorf(james.KindInvalid, "", "the query is malformed: %w", err)
	}
	for name, values := range c.query() {
		known := false
		for _, q := range c.route.Query {
			known = known || q == name
		}
		switch {
		case !known:
			return james.Errorf(james.KindInvalid, "", "there is no parameter %.40q here", name)
		case len(values) != 1:
			return james.Errorf(james.KindInvalid, "", "the parameter %s is given %d times", name, len(values))
		}
	}
	return nil
}

// number returns a parameter of the query, or standard where it is not given.
func (c *call) number(name string, standard, max uint64) (uint64, error) {
	text := c.query().Get(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > max {
		return 0, james.Errorf(james.KindInvalid, "", "the parameter %s is %.40q, not a number from 0 to %d", name, text, max)
	}
	return n, nil
}

// flag returns a parameter of the query, false where it is not given.
func (c *call) flag(name string) (bool, error) {
	switch text := c.query().Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, james.Errorf(james.KindInvalid, "", "the parameter %s is %.40q, not true or false", name, text)
	}
}
