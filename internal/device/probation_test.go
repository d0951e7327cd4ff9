package device_test

import (
	"os"
	"strings"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// waiting are the scripts of a packet whose postinst waits until the test goes on.
func waiting(postinst, prerm string) map[james.ScriptName]string {
	return map[james.ScriptName]string{
		james.Postinst: "touch \"$JAMES_ROOT/begun\"; while [ ! -e \"$JAMES_ROOT/go\" ]; do sleep 0.05; done\n" + postinst,
		james.Prerm:    "rm -f \"$JAMES_ROOT/begun\" \"$JAMES_ROOT/go\"\n" + prerm,
	}
}

// TestReachedOverAFreshConnection has the way to the server change with what is
// installed, in all manners.
func TestReachedOverAFreshConnection(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		limit     string
		change    func(w *world) // when the plan is carried out
		mend      func(w *world) // when the server was found not to be reached
		breaks    bool           // the packet breaks the device's certificate
		undone    bool
		says      string
		connected bool // when it has ended
	}{
		{name: "it stays", limit: "30s", connected: true},
		{name: "the server is gone", limit: "1s", change: func(w *world) { w.link.setDown(true) }, undone: true, says: "lost|refused|reset|EOF"},
		{name: "it comes back in time", limit: "1m", change: func(w *world) { w.link.setDown(true) }, mend: func(w *world) { w.link.setDown(false) }, connected: true},
		{name: "only what was connected before is", limit: "1s", change: func(w *world) { w.link.setFull(true) }, undone: true, says: "lost|reset|EOF", connected: true},
		{name: "the server has lost its store", limit: "30s", change: func(w *world) { w.lost.Store(true) }},
		{name: "the certificate is broken", limit: "1s", breaks: true, undone: true, says: "device-1.crt", connected: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			postinst, prerm := "", ""
			if tc.breaks {
				crt := w.path("pki/" + id + ".crt")
				postinst, prerm = "mv "+crt+" "+crt+".old; echo nothing > "+crt+"\n", "mv "+crt+".old "+crt+"\n"
			}
			w.upload("app", "v1", map[string]file{"opt/app": {content: "1"}}, waiting(postinst, prerm))
			w.want("app v1")
			r := w.start("--probation", tc.limit)
			appears(t, w.path("root/begun"))
			if tc.change != nil {
				tc.change(w)
			}
			check(t, os.WriteFile(w.path("root/go"), nil, 0o644))
			if tc.mend != nil {
				r.says("not reached after the change")
				tc.mend(w)
			}
			if tc.undone {
				r.says(`plan failed.*was not reached over a new connection within ` + tc.limit + ` of the change: .*(` + tc.says + `).*kind=unavailable`)
			} else {
				r.says("plan carried out")
			}
			if !tc.connected {
				r.says("no answer from the server")
			}
			r.stop()
			w.holds("opt/app", map[bool]string{false: "1"}[tc.undone])
			w.link.setDown(false)
			w.link.setFull(false)
			w.lost.Store(false)
			if tc.undone {
				w.want() // what failed is not to be tried again here
			}
			w.once(0)
			if d := w.device(); d.Report == nil || (d.Report.Result == james.RolledBack) != tc.undone {
				t.Errorf("the server knows %+v", d.Report)
			}
		})
	}
}

// TestStopOnProbation stops jamesc while a change is on probation, and starts it
// again.
func TestStopOnProbation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scripts := waiting("", "")
	scripts[james.HealthCheck] = "echo try=$JAMES_TRY${JAMES_RERUN:+ again} >> \"$JAMES_ROOT/log\"; touch \"$JAMES_ROOT/checked\"\n"
	w.upload("app", "v1", map[string]file{"opt/app": {content: "1"}}, scripts)
	w.want("app v1")
	r := w.start("--probation", "1m")
	appears(t, w.path("root/begun"))
	w.link.setDown(true)
	check(t, os.WriteFile(w.path("root/go"), nil, 0o644))
	r.says("not reached after the change")
	r.stop()
	r.says("on probation, and the next start goes on with that")
	if _, out, _ := process(t.Context(), []string{"status", "--state-dir", w.path("state")}, nil); strings.Contains(out, "app") {
		t.Errorf("status is:\n%s", out)
	}
	w.link.setDown(false)
	w.more = []string{"--probation", "1m"}
	w.once(0)
	w.holds("opt/app", "1")
	w.holds("log", "try=1\ntry=1 again\n")
	if d := w.device(); d.Report.Result != james.Committed || !d.Report.Recovered || !d.InSync {
		t.Errorf("the server knows %+v", d.Report)
	}
}

// TestCertificatesOfAnInterruptedChange has a change break the device's
// certificate and the device stop before that is found out: the next start can
// connect to nobody, and undoes the change before it tries again.
func TestCertificatesOfAnInterruptedChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	crt := w.path("pki/" + id + ".crt")
	w.upload("app", "v1", map[string]file{"opt/app": {content: "1"}}, waiting("mv "+crt+" "+crt+".old; echo nothing > "+crt+"\n", "mv "+crt+".old "+crt+"\n"))
	w.want("app v1")
	r := w.start("--probation", "1m")
	appears(t, w.path("root/begun"))
	check(t, os.WriteFile(w.path("root/go"), nil, 0o644))
	r.says("not reached after the change")
	r.stop()
	w.want() // what failed is not to be tried again here
	w.more = []string{"--probation", "1s"}
	if said := w.once(0); !strings.Contains(said, "ending an interrupted transaction without a server") || !strings.Contains(said, "device-1.crt") {
		t.Errorf("said:\n%s", said)
	}
	w.holds("opt/app", "")
	if d := w.device(); d.Report == nil || d.Report.Result != james.RolledBack || !d.Report.Recovered || !d.InSync {
		t.Errorf("the server knows %+v", d.Report)
	}
}
