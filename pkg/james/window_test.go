package james_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"github.com/trusch/jamesd/pkg/james"
)

func TestParseWindow(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                      "",
		"  ":                                    "",
		" Now ":                                 "now",
		"NEVER":                                 "never",
		"02:00-04:00":                           "02:00-04:00",
		"2:00-4:05":                             "02:00-04:05",
		"22:00-06:00":                           "22:00-06:00",
		"00:00-24:00":                           "00:00-24:00",
		"02:00-04:00,13:00-14:00":               "02:00-04:00, 13:00-14:00",
		"mon-fri 22:00-06:00 , SAT  0:00-24:00": "Mon-Fri 22:00-06:00, Sat 00:00-24:00",
		"Sat-Sun 10:00-11:00":                   "Sat-Sun 10:00-11:00",
	} {
		w, err := james.ParseWindow(in)
		if err != nil || w.String() != want {
			t.Errorf("%q: %q, %v; want %q", in, w, err, want)
		}
		if w.IsZero() != (want == "") {
			t.Errorf("%q: IsZero is %v", in, w.IsZero())
		}
		if again, err := james.ParseWindow(w.String()); err != nil || again != w {
			t.Errorf("%q: %q is read as %q, %v", in, w, again, err)
		}
	}
}

func TestParseWindowRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"later":                   `"later" is not HH:MM-HH:MM`,
		"02:00":                   `"02:00" is not HH:MM-HH:MM`,
		"02:00-04:00,":            `"" is not HH:MM-HH:MM`,
		"now,02:00-04:00":         `"now" is not HH:MM-HH:MM`,
		"2-4":                     `"2-4" is not HH:MM-HH:MM, from 00:00 to 24:00`,
		"02:00-25:00":             "is not HH:MM-HH:MM, from 00:00 to 24:00",
		"02:00-04:60":             "is not HH:MM-HH:MM, from",
		"02:00-24:01":             "is not HH:MM-HH:MM, from",
		"24:00-02:00":             "is not HH:MM-HH:MM, from",
		"-1:00-02:00":             "is not HH:MM-HH:MM, from",
		"02:0-04:00":              "is not HH:MM-HH:MM, from",
		"002:00-04:00":            "is not HH:MM-HH:MM, from",
		"02:00-02:00":             `"02:00-02:00" is empty; all of the day is 00:00-24:00`,
		"Monday 02:00-04:00":      `"Monday" is no day of the week, nor two of them as in Mon-Fri`,
		"Mon-Tue-Wed 02:00-04:00": "is no day of the week",
		"Mon Tue 02:00-04:00":     `"Mon Tue 02:00-04:00" is not HH:MM-HH:MM`,
		strings.Repeat("01:00-02:00,", 32) + "1:00-2:00": "has 33 spans, the limit is 32",
	} {
		_, err := james.ParseWindow(in)
		if james.KindOf(err) != james.KindInvalid || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "window: ") {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestWindowAt(t *testing.T) {
	t.Parallel()
	const day = "2026-03-" // March 29 is a Sunday, on which clocks go from 02:00 to 03:00 in Berlin
	for _, row := range []struct {
		name, window, at string
		open             bool
		until            string
	}{
		{"nothing said", "", day + "10 12:00:00", true, ""},
		{"now", "now", day + "10 12:00:00", true, ""},
		{"never", "never", day + "10 12:00:00", false, ""},
		{"always, in hours", "00:00-24:00", day + "10 12:00:00", true, ""},
		{"always, in two halves", "12:00-00:00, 00:00-12:00", day + "10 12:00:00", true, ""},
		{"before", "02:00-04:00", day + "10 01:59:59", false, day + "10 02:00:00"},
		{"its first moment", "02:00-04:00", day + "10 02:00:00", true, day + "10 04:00:00"},
		{"its last moment", "02:00-04:00", day + "10 03:59:59", true, day + "10 04:00:00"},
		{"its end", "02:00-04:00", day + "10 04:00:00", false, day + "11 02:00:00"},
		{"before midnight", "22:00-06:00", day + "10 23:00:00", true, day + "11 06:00:00"},
		{"after midnight", "22:00-06:00", day + "11 05:00:00", true, day + "11 06:00:00"},
		{"at noon", "22:00-06:00", day + "11 12:00:00", false, day + "11 22:00:00"},
		{"spans that touch", "02:00-04:00, 04:00-05:00", day + "10 03:00:00", true, day + "10 05:00:00"},
		{"the later of two", "02:00-04:00, 13:00-14:00", day + "10 05:00:00", false, day + "10 13:00:00"},
		{"Friday's night", "Mon-Fri 22:00-06:00", day + "14 05:00:00", true, day + "14 06:00:00"},
		{"the weekend", "Mon-Fri 22:00-06:00", day + "14 23:00:00", false, day + "16 22:00:00"},
		{"over the week's end", "Sat-Sun 00:00-24:00", day + "14 12:00:00", true, day + "16 00:00:00"},
		{"the clocks skip its first hour", "02:00-04:00", day + "29 00:00:00", false, day + "29 03:00:00"},
		{"the clocks skip all of it", "02:15-02:45", day + "29 00:00:00", false, day + "30 02:15:00"},
		{"they skip it on its only day", "Sun 02:15-02:45", day + "28 00:00:00", false, "2026-04-05 02:15:00"},
		{"they skip its end", "01:00-02:30", day + "29 01:30:00", true, day + "29 03:00:00"},
		{"they are set back over its end", "01:00-02:30", "2026-10-25 01:30:00", true, "2026-10-25 02:30:00"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			open, until := james.MustWindow(row.window).At(berlin(t, row.at))
			clock := ""
			if !until.IsZero() {
				clock = until.Format(time.DateTime)
			}
			if open != row.open || clock != row.until {
				t.Errorf("%v until %s, want %v until %s", open, clock, row.open, row.until)
			}
		})
	}
}

func berlin(t *testing.T, at string) time.Time {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	out, err := time.ParseInLocation(time.DateTime, at, zone)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWindowProperties compares windows with a clock that is looked at every
// minute, over both changes of clocks, in zones of all kinds.
func TestWindowProperties(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"}
	rapid.Check(t, func(t *rapid.T) {
		text, holds := genWindow(t)
		w, err := james.ParseWindow(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Date(2026, 1, 1, 0, 0, rapid.IntRange(0, 59).Draw(t, "second"), 0, zone)
		at := start.Add(time.Duration(rapid.IntRange(0, 365*24*60).Draw(t, "minute")) * time.Minute)
		open, until := w.At(at)
		if open != holds(at) {
			t.Fatalf("%s at %s: %v", w, at, open)
		}
		minute := at.Truncate(time.Minute)
		for n := 1; n <= 15*24*60; n++ {
			then := minute.Add(time.Duration(n) * time.Minute)
			if holds(then) == open {
				continue
			}
			if !until.Equal(then) {
				t.Fatalf("%s at %s: changes at %s, not %s", w, at, then, until)
			}
			return
		}
		if !until.IsZero() {
			t.Fatalf("%s at %s: changes never, not at %s", w, at, until)
		}
	})
}

// genWindow draws the text of a window, and what says whether it is open.
func genWindow(t *rapid.T) (string, func(time.Time) bool) {
	days := []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	var texts []string
	var holds []func(time.Time) bool
	for range rapid.IntRange(1, 4).Draw(t, "spans") {
		from := rapid.IntRange(0, 24*60-1).Draw(t, "from")
		to := (from + rapid.IntRange(1, 24*60-1).Draw(t, "length")) % (24 * 60)
		first, last := rapid.IntRange(0, 6).Draw(t, "first"), rapid.IntRange(0, 6).Draw(t, "last")
		begins := func(day time.Weekday) bool {
			d := int(day+7) % 7
			return first <= last && first <= d && d <= last || first > last && (d >= first || d <= last)
		}
		texts = append(texts, fmt.Sprintf("%s-%s %d:%02d-%d:%02d", days[first], days[last], from/60, from%60, to/60, to%60))
		holds = append(holds, func(at time.Time) bool {
			m := at.Hour()*60 + at.Minute()
			if from < to {
				return begins(at.Weekday()) && from <= m && m < to
			}
			return begins(at.Weekday()) && from <= m || begins(at.Weekday()-1) && m < to
		})
	}
	return strings.Join(texts, ","), func(at time.Time) bool {
		for _, h := range holds {
			if h(at) {
				return true
			}
		}
		return false
	}
}

func TestScheduleJSON(t *testing.T) {
	t.Parallel()
	in := james.State{ID: "d", Apps: []james.App{}, Schedule: james.Schedule{Apply: james.MustWindow("02:00-04:00"), Urgent: true}}
	raw, err := json.Marshal(in)
	if err != nil || !strings.Contains(string(raw), `"apply":"02:00-04:00","urgent":true`) || strings.Contains(string(raw), "download") {
		t.Fatalf("%s, %v", raw, err)
	}
	var out james.State
	if err := json.Unmarshal(raw, &out); err != nil || out.Schedule != in.Schedule {
		t.Errorf("%+v, %v", out, err)
	}
	err = json.Unmarshal([]byte(`{"apply":"soon"}`), &out)
	if james.KindOf(err) != james.KindInvalid {
		t.Errorf("a malformed window: %v", err)
	}
}
