package archive

import (
	"os/user"
	"strconv"
)

// ownerNames looks up the names of owners, each once. An owner without a name
// has the number alone.
type ownerNames struct{ users, groups map[int]string }

func newOwnerNames() *ownerNames {
	return &ownerNames{users: make(map[int]string), groups: make(map[int]string)}
}

func (o *ownerNames) user(id int) string {
	return lookup(o.users, id, func(s string) (string, error) {
		u, err := user.LookupId(s)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (o *ownerNames) group(id int) string {
	return lookup(o.groups, id, func(s string) (string, error) {
		g, err := user.LookupGroupId(s)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

func lookup(known map[int]string, id int, find func(string) (string, error)) string {
	name, ok := known[id]
	if !ok {
		name, _ = find(strconv.Itoa(id))
		known[id] = name
	}
	return name
}
