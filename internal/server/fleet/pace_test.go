package fleet_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// fleetSize is the number of devices that storm; slots is into how many parts the
// interval is cut to see how even they are over it.
const (
	fleetSize = 10_000
	slots     = 60
)

// wantEven checks that the times, less begin, are even over one interval: by the
// fullest and the emptiest of the slots, and by chi-square, which with 59 degrees of
// freedom is above 110 once in 20,000 times for random numbers. Ids are hashed, so
// that the numbers are the same in each run.
func wantEven(t *testing.T, what string, times []time.Time, begin time.Time, interval time.Duration) {
	t.Helper()
	var count [slots]int
	for _, at := range times {
		since := at.Sub(begin)
		if since < 0 || since >= interval {
			t.Fatalf("%s: one comes %s after the beginning of %s", what, since, interval)
		}
		count[since*slots/interval]++
	}
	mean, chi := float64(len(times))/slots, 0.0
	for _, n := range count {
		chi += (float64(n) - mean) * (float64(n) - mean) / mean
	}
	if most, least := slices.Max(count[:]), slices.Min(count[:]); float64(most) > mean+5*math.Sqrt(mean) || float64(least) < mean-5*math.Sqrt(mean) || chi > 110 {
		t.Errorf("%s: between %d and %d in a slot, %.0f on average, chi-square %.0f", what, least, most, mean, chi)
	}
}

// TestTurnsOfPolls has a fleet poll all at once, as after a restart of its server:
// one poll later it is even over the interval, and it stays so.
func TestTurnsOfPolls(t *testing.T) {
	t.Parallel()
	const interval = 30 * time.Second
	for name, id := range map[string]string{"numbered": "device-%d", "long names": "board-%05d.plant-7.example.org", "hexadecimal": "%012x"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1e9, 123456789)
			w := newWorld(t, func(o *fleet.Options) { o.PollInterval, o.Now = interval, func() time.Time { return now } })
			r := report("armv7l")
			start, due := now, make([]time.Time, fleetSize)
			for i := range due {
				resp := w.poll(fmt.Sprintf(id, i), r)
				if resp.Pause < interval/2 || resp.Pause >= 3*interval/2 {
					t.Fatalf("device %d is told to come back after %s", i, resp.Pause)
				}
				if off := time.Duration(resp.Interval)*time.Second - resp.Pause; off < -time.Second/2 || off > time.Second/2 {
					t.Fatalf("device %d is told %d s and %s", i, resp.Interval, resp.Pause)
				}
				due[i] = now.Add(resp.Pause)
			}
			wantEven(t, "after one poll", due, start.Add(interval/2), interval)
			for round := range 3 {
				for i, at := range due {
					now = at.Add(time.Duration(i%40) * time.Millisecond) // what the network takes
					resp := w.poll(fmt.Sprintf(id, i), r)
					if got := now.Add(resp.Pause).Sub(at); got != interval {
						t.Fatalf("round %d: device %d has its turn %s after the one before", round, i, got)
					}
					due[i] = now.Add(resp.Pause)
				}
			}
			wantEven(t, "later", due, start.Add(7*interval/2), interval)
		})
	}
}

// TestTurnsOfHeldPolls has a fleet whose polls are held come all at once. An earlier
// jamesc looks at the interval only: it is held all the time, too.
func TestTurnsOfHeldPolls(t *testing.T) {
	t.Parallel()
	const interval, devices, rounds = 30 * time.Second, 2_000, 6
	for _, row := range []struct {
		name    string
		earlier bool
		next    func(resp james.PollResponse, held time.Duration) (rest time.Duration, wait int)
	}{
		{"as it is told", false, func(resp james.PollResponse, _ time.Duration) (time.Duration, int) {
			return resp.Pause, resp.Interval + resp.Interval/4
		}},
		{"an earlier jamesc", true, func(resp james.PollResponse, held time.Duration) (time.Duration, int) {
			return time.Duration(resp.Interval)*time.Second - held, resp.Interval
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *fleet.Options) { o.PollInterval = interval })
				begun := time.Now()
				ends := make([][rounds]time.Time, devices)
				var unheld atomic.Int64
				var wg sync.WaitGroup
				for i := range devices {
					wg.Go(func() {
						rest, wait := time.Duration(0), int(interval/time.Second)+1
						if row.earlier {
							wait--
						}
						for n := range rounds {
							start := time.Now()
							resp, err := w.Poll(t.Context(), fmt.Sprintf("d%d", i), james.PollRequest{Report: report(""), Wait: wait})
							if err != nil {
								t.Errorf("device %d: %v", i, err)
								return
							}
							ends[i][n] = time.Now()
							rest, wait = row.next(resp, time.Since(start))
							unheld.Add(int64(max(0, rest)))
							time.Sleep(rest)
						}
					})
				}
				wg.Wait()
				for n := range rounds {
					var times []time.Time
					for i := range ends {
						times = append(times, ends[i][n])
					}
					if from := begun.Add(leastTurn + time.Duration(n)*interval); !row.earlier {
						wantEven(t, fmt.Sprint("round ", n), times, from, interval)
					}
				}
				if share := float64(unheld.Load()) / float64(devices*rounds*interval); share > 0.06 {
					t.Errorf("devices wait without being held for %.1f %% of the time", 100*share)
				}
			})
		})
	}
}

// leastTurn is as in the package.
const leastTurn = time.Second

// TestHeldShorterThanTheInterval has a device that is held for a part of its interval.
func TestHeldShorterThanTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval = 10 * time.Minute
		w := newWorld(t, func(o *fleet.Options) { o.PollInterval = interval })
		var begun []time.Time
		for range 5 {
			begun = append(begun, time.Now())
			resp, err := w.Poll(t.Context(), "d", james.PollRequest{Report: report(""), Wait: 60})
			check(t, err)
			if held := time.Since(begun[len(begun)-1]); held != time.Minute {
				t.Errorf("it was held for %s", held)
			}
			time.Sleep(resp.Pause)
		}
		for i := 2; i < len(begun); i++ {
			if got := begun[i].Sub(begun[i-1]); got != interval {
				t.Errorf("poll %d comes %s after the one before", i, got)
			}
		}
	})
}

func TestIntervalOfTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fleet.Options) {
		o.PollInterval = time.Minute
		o.PollIntervals = map[james.Tag]time.Duration{"metered": time.Hour, "lab": 10 * time.Second, "solar": 30 * time.Minute}
	})
	for tags, want := range map[string]time.Duration{
		"armv7l": time.Minute, "": time.Minute, "lab,x": 10 * time.Second, "metered": time.Hour,
		"lab,metered": time.Hour, "armv7l,lab,metered,solar": time.Hour, "lab,solar": 30 * time.Minute,
	} {
		id := "d-" + strings.ReplaceAll(tags, ",", "-")
		var sum time.Duration
		const devices = 400
		for i := range devices {
			sum += w.poll(fmt.Sprint(id, i), report(tags)).Pause
		}
		if got := sum / devices; got < want*9/10 || got > want*11/10 {
			t.Errorf("devices with the tags %q come back after %s on average, want %s", tags, got, want)
		}
	}
}

// TestDrainSpreads has devices whose polls are ended as jamesd ends come back some
// seconds later, however long they were held.
func TestDrainSpreads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fleet.Options) { o.PollInterval = time.Minute })
		var answers []<-chan james.PollResponse
		for i := range 200 {
			answers = append(answers, w.hold(fmt.Sprint("d", i), james.PollRequest{Report: report(""), Wait: 60}))
		}
		time.Sleep(40 * time.Second)
		w.Drain()
		var count [10]int
		for _, a := range answers {
			resp := <-a
			if resp.Pause < time.Second || resp.Pause >= 10*time.Second {
				t.Fatalf("one comes back after %s", resp.Pause)
			}
			count[resp.Pause/time.Second]++
		}
		if most := slices.Max(count[:]); most > 50 {
			t.Errorf("they come back %v, by seconds", count)
		}
	})
}
