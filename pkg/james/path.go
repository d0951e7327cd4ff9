package james

import (
	"encoding/hex"
	"path"
	"strings"
	"unicode/utf8"
)

// Limits of paths, as Linux has them (linux/limits.h PATH_MAX, NAME_MAX).
const (
	MaxPathLen      = 4095
	MaxComponentLen = 255
)

// Path is the place of a file in a packet: relative to the install root,
// slash-separated, without empty, "." or ".." components. It is a byte string
// and need not be UTF-8. The root itself is ".".
type Path string

// ParsePath returns the canonical Path of a name as tar writers spell it:
// "./a/b", "a/b/" and "a/b" are the same. It fails with KindInvalid for an
// absolute name, a ".." component, a NUL byte, an empty name, or one that is
// longer than Linux allows.
func ParsePath(name string) (Path, error) {
	switch {
	case name == "":
		return "", Errorf(KindInvalid, "path", "is empty")
	case strings.ContainsRune(name, 0):
		return "", Errorf(KindInvalid, "path", "%q has a NUL byte", name)
	case name[0] == '/':
		return "", Errorf(KindInvalid, "path", "%q is absolute", name)
	case len(name) > MaxPathLen:
		return "", Errorf(KindInvalid, "path", "%.60q... has %d bytes, the limit is %d", name, len(name), MaxPathLen)
	}
	canonical := true
	for c := range strings.SplitSeq(name, "/") {
		switch {
		case c == "" || c == ".":
			canonical = false
		case c == "..":
			return "", Errorf(KindInvalid, "path", "%q has a \"..\" component", name)
		case len(c) > MaxComponentLen:
			return "", Errorf(KindInvalid, "path", "%.60q... has a component of %d bytes, the limit is %d", name, len(c), MaxComponentLen)
		}
	}
	if canonical {
		return Path(name), nil
	}
	return Path(path.Clean(name)), nil
}

// Parent returns the directory that holds p; the parent of the root is the root.
func (p Path) Parent() Path {
	if i := strings.LastIndexByte(string(p), '/'); i >= 0 {
		return p[:i]
	}
	return "."
}

// Within reports whether p is dir or lies below it.
func (p Path) Within(dir Path) bool {
	return dir == "." || p == dir || strings.HasPrefix(string(p), string(dir)+"/")
}

// String returns p for people and for the wire: bytes that are not UTF-8,
// control characters and "%" are written as %XX.
func (p Path) String() string { return escape(string(p)) }

// MarshalText encodes p as String does.
func (p Path) MarshalText() ([]byte, error) { return []byte(escape(string(p))), nil }

// UnmarshalText decodes what MarshalText encodes and checks it as ParsePath
// does; a path that is not canonical is refused.
func (p *Path) UnmarshalText(b []byte) error {
	raw, err := unescape(string(b))
	if err != nil {
		return err
	}
	parsed, err := ParsePath(raw)
	if err != nil {
		return err
	}
	if string(parsed) != raw {
		return Errorf(KindInvalid, "path", "%q is not in canonical form (%q)", b, parsed)
	}
	*p = parsed
	return nil
}

// Target is what a symbolic link holds: any bytes but NUL, 1 to MaxPathLen of
// them. Its text form is escaped as a Path's is.
type Target string

// String returns t escaped as Path.String does.
func (t Target) String() string { return escape(string(t)) }

// MarshalText encodes t as String does.
func (t Target) MarshalText() ([]byte, error) { return []byte(escape(string(t))), nil }

// UnmarshalText decodes what MarshalText encodes.
func (t *Target) UnmarshalText(b []byte) error {
	raw, err := unescape(string(b))
	if err != nil {
		return err
	}
	if len(raw) > MaxPathLen || strings.ContainsRune(raw, 0) {
		return Errorf(KindInvalid, "link target", "%.60q is longer than %d bytes or has a NUL byte", raw, MaxPathLen)
	}
	*t = Target(raw)
	return nil
}

func escape(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, special) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && n == 1) || special(r) {
			const digits = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(digits[s[i]>>4])
			b.WriteByte(digits[s[i]&15])
			i++
			continue
		}
		b.WriteString(s[i : i+n])
		i += n
	}
	return b.String()
}

// special reports the one-byte runes that are escaped although they are UTF-8.
func special(r rune) bool { return r == '%' || r < 0x20 || r == 0x7f }

func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+3 > len(s) {
			return "", Errorf(KindInvalid, "path", "%q ends inside an escape", s)
		}
		raw, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			return "", Errorf(KindInvalid, "path", "%q has a malformed escape", s)
		}
		b.WriteByte(raw[0])
		i += 2
	}
	return b.String(), nil
}
