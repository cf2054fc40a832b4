// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/framework/fetch"
)

// A Pool fetches packages whose digests are known. It reads no index and checks no
// signature. Its methods may be called from several goroutines.
type Pool struct {
	o      Options
	client *client
	store  *store
}

// NewPool makes a pool. Of the options it needs Cache; Sources and Keyring do not matter.
func NewPool(o Options) *Pool {
	o = o.withDefaults()
	c := &client{http: fetch.Client(o.Transport), stall: o.Stall, retries: o.Retries, backoff: o.Backoff, log: o.Log}
	return &Pool{o: o, client: c, store: &store{dir: o.Cache, client: c}}
}

// Locked is about a package whose digest is from a lock.
type Locked struct {
	File string // the lock, for messages
	// History is the address in the history of the archive, for a package that its
	// mirror has no more; or empty.
	History string
}

// blob completes the blob of a locked package. A mirror that has other contents under
// its name gets a second chance.
func (l *Locked) blob(p *Package, b blob) blob {
	b.voucher, b.twice = l.File, true
	if l.History != "" {
		b.urls = append(b.urls, l.History)
	}
	b.missing = func(errs []error) error { return l.lost(p, b.urls, errs) }
	return b
}

// lost is the error about a package that its mirror does not have, and that its history
// does not have or does not give.
func (l *Locked) lost(p *Package, urls []string, errs []error) error {
	what := fmt.Sprintf("package %s %s (%s)", p.Name, p.Version, l.File)
	mirror, last := fetch.Shown(urls[0]), errs[len(errs)-1]
	switch {
	case len(urls) == 1:
		return problemf(packages.ErrGone, "%s is gone: it is not at %s, and the archive has no history", what, mirror)
	case errors.Is(last, ErrNotFound):
		return problemf(packages.ErrGone, "%s is gone: it is neither at %s nor at %s", what, mirror, fetch.Shown(urls[1]))
	}
	return problemf(packages.ErrGone, "%s is no longer at %s, and the history of the archive does not answer: %v", what, mirror, last)
}

// snapshotForm is how the histories of Debian and Ubuntu write a time. They answer with
// the last state of the archive that is not later.
const snapshotForm = "20060102T150405Z"

// InHistory is the address of a file in an archive's history, as it was at a time:
// HISTORY/20261129T011300Z/PATH. It is empty if the archive has no history.
func InHistory(history string, at time.Time, path string) (string, error) {
	if history == "" || at.IsZero() {
		return "", nil
	}
	return Address(strings.TrimRight(history, "/")+"/"+at.UTC().Format(snapshotForm), path)
}

// Address is the address of a file of a mirror.
func Address(mirror, path string) (string, error) { return join(mirror, path) }
