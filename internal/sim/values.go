package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// share is a number of devices, or a percentage of them, as the value of a flag.
type share struct {
	count   int
	percent float64 // in place of count
}

// of returns how many of n devices that is; a percentage that is not 0 is at least
// one.
func (s *share) of(n int) int {
	if s.percent > 0 {
		return max(1, int(s.percent/100*float64(n)+0.5))
	}
	return s.count
}

// String implements pflag.Value.
func (s *share) String() string {
	if s.percent > 0 {
		return strconv.FormatFloat(s.percent, 'g', -1, 64) + "%"
	}
	return strconv.Itoa(s.count)
}

// Set implements pflag.Value.
func (s *share) Set(text string) error {
	if digits, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(p >= 0 && p <= 100) {
			return errors.New("is not a percentage from 0% to 100%")
		}
		*s = share{percent: p}
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxDevices {
		return errors.New("is neither a number of devices nor a percentage such as 5%")
	}
	*s = share{count: n}
	return nil
}

// Type implements pflag.Value.
func (s *share) Type() string { return "share" }

// parseApps reads "NAME TAG,TAG; NAME TAG".
func parseApps(flag, text string) ([]james.App, error) {
	apps := []james.App{}
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		switch len(words) {
		case 0:
			continue
		case 1:
			words = append(words, "")
		case 2:
		default:
			return nil, james.Errorf(james.KindInvalid, flag, "%q is not NAME TAG,TAG", strings.TrimSpace(part)).
				WithHint("Several apps are separated by semicolons.")
		}
		tags, err := james.ParseTags(words[1])
		if err != nil {
			return nil, james.Errorf(james.KindInvalid, flag, "%w", err)
		}
		apps = append(apps, james.App{Name: words[0], Tags: tags})
	}
	if err := james.CheckApps(apps); err != nil {
		return nil, james.Errorf(james.KindInvalid, flag, "%w", err)
	}
	return apps, nil
}

// installed gives apps digests: those of packets that no server has, so that whatever
// is wanted instead of them is an upgrade.
func installed(apps []james.App) []james.App {
	out := slices.Clone(apps)
	for i := range out {
		out[i].Digest = james.DigestOf(fmt.Append(nil, programName, " ", out[i]))
	}
	return sorted(out)
}

// sorted sorts apps by their names, as jamesc reports them.
func sorted(apps []james.App) []james.App {
	slices.SortFunc(apps, func(a, b james.App) int { return strings.Compare(a.Name, b.Name) })
	return apps
}

// list returns words as in "a, b or c".
func list(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
