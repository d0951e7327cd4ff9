package supply

import "context"

// SetMaxQueue sets how many pairs may wait.
func (s *Supply) SetMaxQueue(n int) { s.queue.limit = n }

// SetMaxWaiting sets how many streams may wait to be made.
func (s *Supply) SetMaxWaiting(n int64) { s.maxWaiting = n }

// Waiting returns how many streams wait to be made.
func (s *Supply) Waiting() int64 { return s.waiting.Load() }

// Look looks at the plans now.
func (s *Supply) Look() { s.look(context.Background()) }

// Work makes all that is needed now.
func (s *Supply) Work(ctx context.Context) {
	for more := true; more; {
		s.look(ctx)
		for s.step(ctx) {
		}
		select {
		case <-s.queue.room:
		default:
			more = false
		}
	}
}
