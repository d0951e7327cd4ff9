// Package tickets has all servers of one store take one another's TLS session tickets, and
// those from before a restart: a device that comes back resumes its session, which spares
// a server the signatures of a full handshake.
//
// The keys that tickets are sealed with are a secret in the store. What always holds: a
// key is there for a while before the first ticket is sealed with it, so that the
// other servers know it by then, and for as long as a ticket sealed with it lives.
// Without a store the servers go on with the keys that they have.
//
// A ticket holds who its owner is, so who has the keys can make one for anybody whose
// certificate he has. That is why Guard lets only those resume who may be impersonated by
// somebody that reads the store. What crypto/tls checks when a session is resumed,
// it checks here: that the certificate and the authority's have not expired, and that the
// authority is still trusted.
package tickets

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Times of keys and of looks at them.
const (
	// Rotate is how long tickets are sealed with a key.
	Rotate = 12 * time.Hour
	// lead is how long a key is in the store before it is used.
	lead = 5 * time.Minute
	// life is how long a ticket lives, which TLS 1.3 bounds to that, and some time for
	// servers that have not seen the next key yet.
	life = 7*24*time.Hour + time.Hour
	// look is the time between two looks, of which each may take limit.
	look  = time.Minute
	limit = 10 * time.Second
)

// name is that of the secret in the store.
const name = "tls-session-tickets"

// Guard has conf give tickets only to peers of which may is true, and take them only from
// these. It must not be cloned afterwards.
func Guard(conf *tls.Config, may func(tls.ConnectionState) bool) {
	conf.WrapSession = func(cs tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		if may(cs) {
			return conf.EncryptTicket(cs, session)
		}
		useless := make([]byte, 32)
		_, err := rand.Read(useless)
		return useless, err
	}
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.DidResume && !may(cs) {
			return errors.New("a session was resumed by somebody who gets no tickets")
		}
		return nil
	}
}

// Keeper keeps the keys of a configuration those of the store.
type Keeper struct {
	// Config is the configuration that is served.
	Config *tls.Config
	// Secrets are the store's.
	Secrets store.Table[store.Secret]
	Log     logrus.FieldLogger
	Now     func() time.Time
	Rand    io.Reader // crypto/rand
}

// Refresh takes the keys from the store, and puts one there when it is time for it. It
// fails as the store does, and changes nothing then.
func (k *Keeper) Refresh(ctx context.Context) error {
	secret, err := k.Secrets.Get(ctx, name)
	if err != nil && james.KindOf(err) != james.KindNotFound {
		return err
	}
	if now := k.Now(); due(secret.Keys, now) {
		changed, _, err := k.Secrets.Update(ctx, name, func(old *store.Secret) (*store.Secret, error) {
			if old == nil {
				old = &store.Secret{}
			}
			if !due(old.Keys, now) { // another server was faster
				return old, nil
			}
			keys, err := k.next(old.Keys, now)
			return &store.Secret{Keys: keys}, err
		})
		if err != nil {
			return err
		}
		secret = *changed
	}
	k.use(secret.Keys)
	return nil
}

// due reports whether it is time for another key.
func due(keys []store.Key, now time.Time) bool {
	return len(keys) == 0 || !now.Before(newest(keys).From.Add(Rotate-lead))
}

func newest(keys []store.Key) store.Key {
	return slices.MaxFunc(keys, func(a, b store.Key) int { return a.From.Compare(b.From) })
}

// next returns keys with another one, and without those whose tickets have all expired.
func (k *Keeper) next(keys []store.Key, now time.Time) ([]store.Key, error) {
	key := store.Key{Bytes: make([]byte, 32), From: now}
	if _, err := io.ReadFull(cmp.Or(k.Rand, rand.Reader), key.Bytes); err != nil {
		return nil, james.Errorf(james.KindInternal, "key", "making it: %w", err)
	}
	if len(keys) > 0 {
		key.From = latest(newest(keys).From.Add(Rotate), now.Add(lead))
	}
	kept := append(slices.Clone(keys), key)
	slices.SortFunc(kept, func(a, b store.Key) int { return a.From.Compare(b.From) })
	for len(kept) > 1 && kept[1].From.Add(life).Before(now) {
		kept = kept[1:]
	}
	return kept, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// use has tickets sealed with the newest key that is in use, and opened with all.
func (k *Keeper) use(keys []store.Key) {
	now := k.Now()
	var usable [][32]byte
	seal, from := -1, time.Time{}
	for _, key := range keys {
		if len(key.Bytes) != 32 {
			continue
		}
		if !key.From.After(now) && (seal < 0 || key.From.After(from)) {
			seal, from = len(usable), key.From
		}
		usable = append(usable, [32]byte(key.Bytes))
	}
	if len(usable) == 0 {
		return
	}
	seal = max(seal, 0)
	usable[0], usable[seal] = usable[seal], usable[0]
	k.Config.SetSessionTicketKeys(usable)
}

// Run keeps the keys until ctx is done. It logs when that begins to fail and when it works
// again.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		limited, cancel := context.WithTimeout(ctx, limit)
		err := k.Refresh(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && !failing:
			k.Log.WithError(err).Warn("the keys of session tickets cannot be looked up")
		case err == nil && failing:
			k.Log.Info("the keys of session tickets can be looked up again")
		}
		failing = err != nil
	}
}
