package james

// Limits of names. They keep every name usable as a file name, in a URL path
// and in a comma-separated list.
const (
	MaxNameLen   = 128 // bytes of a packet's name
	MaxTagLen    = 128 // bytes of a tag
	MaxTags      = 64  // tags in a set
	MaxDeviceLen = 64  // bytes of a device id: X.520 limits a common name to 64
	MaxApps      = 1000
)

// CheckName returns an error of KindInvalid unless name can be a packet's name:
// 1 to MaxNameLen bytes of ASCII letters, digits and "+-._", the first a letter
// or digit.
func CheckName(name string) error {
	return check("packet name", name, MaxNameLen, "+-._")
}

// CheckDeviceID returns an error of KindInvalid unless id can be a device's id:
// 1 to MaxDeviceLen bytes of ASCII letters, digits and "-._:@", the first a
// letter or digit.
func CheckDeviceID(id string) error {
	return check("device id", id, MaxDeviceLen, "-._:@")
}

func check(what, s string, max int, extra string) error {
	if s == "" {
		return Errorf(KindInvalid, what, "is empty")
	}
	if len(s) > max {
		return Errorf(KindInvalid, what, "%.40q... has %d bytes, the limit is %d", s, len(s), max)
	}
	for i := range len(s) {
		if alnum(s[i]) || (i > 0 && contains(extra, s[i])) {
			continue
		}
		return Errorf(KindInvalid, what, "%q has %q at byte %d; letters, digits and %q are allowed, a letter or digit first",
			s, s[i:i+1], i+1, extra)
	}
	return nil
}

func alnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func contains(set string, c byte) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}
