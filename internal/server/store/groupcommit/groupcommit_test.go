package groupcommit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/trusch/jamesd/internal/server/store/groupcommit"
	"github.com/trusch/jamesd/pkg/james"
)

type job = groupcommit.Job[int]

func TestCallersThatComeDuringAGroupShareTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		gate := make(chan struct{})
		q := groupcommit.New(func(group []*job) bool {
			sizes = append(sizes, len(group))
			<-gate
			for _, j := range group {
				j.Done(nil)
			}
			return false
		})
		results := make(chan error, 65)
		do := func(v int) { results <- q.Do(t.Context(), v) }
		go do(0)
		synctest.Wait() // the first runs alone and is held at the gate
		for i := range 64 {
			go do(i)
		}
		synctest.Wait()
		close(gate)
		for range cap(results) {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		q.Close()
		if len(sizes) != 2 || sizes[0] != 1 || sizes[1] != 64 {
			t.Errorf("group sizes are %v, want 1 and 64", sizes)
		}
	})
}

func TestDoReturnsTheJobsOwnError(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	q := groupcommit.New(func(group []*job) bool {
		for _, j := range group {
			if j.Value%2 == 1 {
				j.Done(odd)
			} else {
				j.Done(nil)
			}
		}
		return false
	})
	defer q.Close()
	for v := range 4 {
		if err := q.Do(t.Context(), v); (err != nil) != (v%2 == 1) {
			t.Errorf("job %d: %v", v, err)
		}
	}
}

func TestACallerThatLeavesIsNotCalledBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate, tried := make(chan struct{}), make(chan bool, 1)
		q := groupcommit.New(func(group []*job) bool {
			<-gate
			for _, j := range group {
				tried <- j.Try(func() {})
				j.Done(nil)
			}
			return false
		})
		defer q.Close()
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() { result <- q.Do(ctx, 0) }()
		synctest.Wait()
		cancel()
		if err := <-result; james.KindOf(err) != james.KindInterrupted {
			t.Errorf("Do returned %v, want KindInterrupted", err)
		}
		close(gate)
		if <-tried {
			t.Error("the job was carried out after its caller had left")
		}
	})
}

func TestCloseFinishesWhatCameAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		q := groupcommit.New(func(group []*job) bool {
			<-gate
			for _, j := range group {
				j.Done(nil)
			}
			return false
		})
		result := make(chan error, 2)
		go func() { result <- q.Do(t.Context(), 0) }()
		synctest.Wait()
		go func() { result <- q.Do(t.Context(), 1) }()
		synctest.Wait()
		closed := make(chan struct{})
		go func() { q.Close(); close(closed) }()
		synctest.Wait()
		if err := q.Do(t.Context(), 2); james.KindOf(err) != james.KindUnavailable {
			t.Errorf("Do on a closed queue returned %v, want KindUnavailable", err)
		}
		close(gate)
		<-closed
		for range 2 {
			if err := <-result; err != nil {
				t.Errorf("a job that came before Close: %v", err)
			}
		}
	})
}

func TestRunIsCalledAgainWhenItAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		left := 3
		q := groupcommit.New(func(group []*job) bool {
			for _, j := range group {
				j.Done(nil)
			}
			left--
			return left > 0
		})
		if err := q.Do(t.Context(), 0); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if left != 0 {
			t.Errorf("%d runs are missing", left)
		}
		q.Close()
	})
}
