package james

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest is a sha256. As text it is 64 lower-case hexadecimal digits; the zero
// value is "no digest" and its text is empty.
type Digest [sha256.Size]byte

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest returns the digest that s spells. It fails with KindInvalid
// unless s is 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) { return parseDigest(s) }

func parseDigest[T string | []byte](s T) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, Errorf(KindInvalid, "digest", "%.80q has %d characters, a sha256 has %d", s, len(s), 2*len(d))
	}
	for i := range d {
		high, low := nibble(s[2*i]), nibble(s[2*i+1])
		if high|low > 0xf {
			return Digest{}, Errorf(KindInvalid, "digest", "%q is not lower-case hexadecimal", s)
		}
		d[i] = high<<4 | low
	}
	return d, nil
}

// nibble returns the value of a lower-case hexadecimal digit, 0xff for any other byte.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// IsZero reports whether d is "no digest".
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns 64 hexadecimal digits, or "" for no digest.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return hex.EncodeToString(d[:])
}

// Short returns the first 12 digits, for people.
func (d Digest) Short() string {
	s := d.String()
	return s[:min(12, len(s))]
}

// MarshalText encodes the digest as String does.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText decodes what MarshalText encodes.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	parsed, err := parseDigest(b)
	if err == nil {
		*d = parsed
	}
	return err
}
