package archive

import (
	"archive/tar"
	"strings"
	"unicode/utf8"

	"github.com/trusch/jamesd/pkg/james"
)

// The PAX records in which GNU tar, bsdtar and star keep extended attributes and
// access control lists.
const (
	paxXattr = "SCHILY.xattr."
	paxACL   = "SCHILY.acl."
)

// GNU tar escapes the characters of a name that a PAX key cannot hold.
var (
	encodeXattr = strings.NewReplacer("%", "%25", "=", "%3D")
	decodeXattr = strings.NewReplacer("%25", "%", "%3D", "=")
)

// xattrsOf returns the extended attributes of an entry, or nil. Records of other
// kinds are ignored, as POSIX wants it, except for an access control list:
// without it, somebody could read what they must not.
func xattrsOf(hdr *tar.Header) (map[string][]byte, error) {
	var attrs map[string][]byte
	for k, v := range hdr.PAXRecords {
		if strings.HasPrefix(k, paxACL) {
			return nil, james.Errorf(james.KindInvalid, "", "has an access control list, which packets cannot hold").
				WithHint("Make the archive without --acls.")
		}
		name, ok := strings.CutPrefix(k, paxXattr)
		if !ok {
			continue
		}
		name = decodeXattr.Replace(name)
		if !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
			return nil, james.Errorf(james.KindInvalid, "", "has an extended attribute with the malformed name %.60q", name)
		}
		if attrs == nil {
			attrs = make(map[string][]byte)
		}
		attrs[strings.Clone(name)] = []byte(v)
	}
	return attrs, nil
}
