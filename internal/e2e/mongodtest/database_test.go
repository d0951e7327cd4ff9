package mongodtest

import "testing"

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"mongodb://127.0.0.1:1/":               "mongodb://127.0.0.1:1/x",
		"mongodb://127.0.0.1:1":                "mongodb://127.0.0.1:1/x",
		"mongodb://a:1,b:2/db?replicaSet=r":    "mongodb://a:1,b:2/x?replicaSet=r",
		"mongodb://u:p@a:1/db":                 "mongodb://u:p@a:1/x?authSource=db",
		"mongodb://u:p@a:1/db?tls=true":        "mongodb://u:p@a:1/x?tls=true&authSource=db",
		"mongodb://u:p@a:1/db?authSource=adm":  "mongodb://u:p@a:1/x?authSource=adm",
		"mongodb+srv://u:p@a.example/?w=1&x=2": "mongodb+srv://u:p@a.example/x?w=1&x=2",
	} {
		if got := withDatabase(base, "x"); got != want {
			t.Errorf("%s becomes %s, want %s", base, got, want)
		}
	}
}
