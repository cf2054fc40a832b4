// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// A store is a folder of files named by their SHA-256. A file appears there by rename,
// after its hash was checked. Two processes may use one store: the holder of the lock
// on the partial file downloads, the other waits for it.
type store struct {
	dir    string
	client *client
}

// A blob is a file with a hash and a size from a verified source.
type blob struct {
	urls    []string // tried in order while the mirror says "not found"
	sha256  string   // lower-case hex; of 128 digits, it is a SHA-512
	size    int64    // bytes
	suffix  string   // of its name in the store, such as ".deb"
	voucher string   // for messages: "the signed InRelease"
	seen    func(n int64)
	// twice says that a file with wrong contents is fetched once more.
	twice bool
	// missing, if set, makes the error of a blob that no address has, from the errors
	// of the addresses. Wrong contents and the end of the context keep their own error.
	missing func([]error) error
}

func (s *store) path(b blob) string {
	return filepath.Join(s.dir, "blobs", b.sha256+b.suffix)
}

// fetch returns the path of a blob in the store. It downloads missing bytes.
func (s *store) fetch(ctx context.Context, b blob) (string, error) {
	if err := errors.Join(os.MkdirAll(filepath.Join(s.dir, "blobs"), 0o755), os.MkdirAll(filepath.Join(s.dir, "partial"), 0o755)); err != nil {
		return "", fmt.Errorf("making the package cache: %w", err)
	}
	if ok, err := s.has(b); ok || err != nil {
		return s.path(b), err
	}
	part, err := lockPartial(ctx, filepath.Join(s.dir, "partial", b.sha256))
	if err != nil {
		return "", fmt.Errorf("locking the partial download of %s: %w", b.urls[0], err)
	}
	defer part.Close() // only releases the lock: the errors that matter are those of download
	if ok, err := s.has(b); err != nil {
		return "", err
	} else if ok { // another process was faster
		return s.path(b), os.Remove(part.Name())
	}
	return s.path(b), s.download(ctx, b, part)
}

// has reports whether the store holds the intact blob. It removes a damaged one.
func (s *store) has(b blob) (bool, error) {
	f, err := os.Open(s.path(b))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close() // opened for reading
	h := b.hash()
	n, err := io.Copy(h, f)
	if err == nil && n == b.size && hexSum(h) == b.sha256 {
		b.seen(b.size)
		return true, nil
	}
	s.client.log.Warn("cached file is damaged: fetching it again", "file", s.path(b))
	return false, ignoreMissing(os.Remove(s.path(b)))
}

// hash makes the digest that the blob is known by.
func (b blob) hash() hash.Hash {
	if len(b.sha256) == 2*sha512.Size {
		return sha512.New()
	}
	return sha256.New()
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// lockPartial opens a file and waits for the lock on it. The holder may rename or
// remove the file, so the locked file must still be the one with that name.
func lockPartial(ctx context.Context, name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && sameFile(f, name) {
			return f, nil
		}
		if err := errors.Join(unlessBusy(err), f.Close()); err != nil {
			return nil, err
		}
		if err := fetch.Sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func unlessBusy(err error) error {
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	return err
}

func sameFile(f *os.File, name string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(name)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// download fills a partial file from the first address that has the blob.
func (s *store) download(ctx context.Context, b blob, part *os.File) error {
	var missing []error
	for _, url := range b.urls {
		err := s.from(ctx, url, b, part)
		if err == nil {
			return os.Rename(part.Name(), s.path(b))
		}
		if missing = append(missing, err); !errors.Is(err, ErrNotFound) {
			break
		}
	}
	last := missing[len(missing)-1]
	unanswered := len(missing) == 1 && !errors.Is(last, ErrNotFound)
	if b.missing == nil || unanswered || ctx.Err() != nil || errors.Is(last, ErrMismatch) {
		return last
	}
	return b.missing(missing)
}

// from downloads a blob from one address. A file with wrong contents is downloaded once
// more if its beginning is from an earlier run, which may be the bad part, or if the
// blob asks for that.
func (s *store) from(ctx context.Context, url string, b blob, part *os.File) error {
	fresh := false // true at the second download
	err := s.client.retry(ctx, func() error {
		resumed, err := s.transfer(ctx, url, b, part)
		if errors.Is(err, ErrMismatch) && (resumed || b.twice) && !fresh {
			fresh = true
			return transient{err}
		}
		return err
	})
	if b.twice && fresh && errors.Is(err, ErrMismatch) {
		return problemf(ErrMismatch, "%v; the file was fetched twice, deleted and is not used", err)
	}
	return err
}

// transfer appends the missing bytes and checks the whole file. After a mismatch the
// partial file is empty.
func (s *store) transfer(ctx context.Context, url string, b blob, part *os.File) (resumed bool, err error) {
	h := b.hash()
	have, err := rehash(part, h, b.size)
	if err != nil {
		return false, err
	}
	resumed = have > 0
	if have < b.size {
		if resumed, err = s.receive(ctx, url, b, part, h, have); err != nil {
			return resumed, err
		}
	}
	if err = b.check(url, part, h); err != nil {
		return resumed, errors.Join(err, part.Truncate(0))
	}
	return resumed, nil
}

// rehash hashes the bytes of the partial file and leaves the offset after them. It
// empties a file larger than size.
func rehash(part *os.File, h hash.Hash, size int64) (int64, error) {
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.Copy(h, part)
	if err != nil || n <= size {
		return n, err
	}
	h.Reset()
	return 0, restart(part)
}

func restart(part *os.File) error {
	_, err := part.Seek(0, io.SeekStart)
	return errors.Join(err, part.Truncate(0))
}

// receive writes the rest of a blob; resumed reports that the earlier bytes were kept.
// A server that ignores Range sends everything again.
func (s *store) receive(ctx context.Context, url string, b blob, part *os.File, h hash.Hash, have int64) (resumed bool, err error) {
	header := http.Header{}
	want := []int{http.StatusOK}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		want = append(want, http.StatusPartialContent)
	}
	resp, err := s.client.get(ctx, url, header, want...)
	if err != nil {
		return have > 0, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if !continues(resp, have) {
		have = 0
		h.Reset()
		if err := restart(part); err != nil {
			return false, err
		}
	}
	b.seen(have)
	meter := &meter{n: have, seen: b.seen}
	// One byte more than expected is enough to detect that the file is too long.
	_, err = io.Copy(io.MultiWriter(part, h, meter), io.LimitReader(resp.Body, b.size-have+1))
	return have > 0, err
}

func continues(resp *http.Response, have int64) bool {
	return resp.StatusCode == http.StatusPartialContent &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have))
}

type meter struct {
	n    int64
	seen func(int64)
}

func (m *meter) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	m.seen(m.n)
	return len(p), nil
}

// check compares the file's size and hash with those of the blob.
func (b blob) check(url string, part *os.File, h hash.Hash) error {
	const cause = "the mirror is inconsistent or tampered with; " + otherMirror
	info, err := part.Stat()
	if err != nil {
		return err
	}
	if got := info.Size(); got > b.size {
		return problemf(ErrMismatch, "%s: has more than the %d bytes that %s says: %s", url, b.size, b.voucher, cause)
	} else if got < b.size {
		return problemf(ErrMismatch, "%s: is truncated: has %d bytes, %s says %d: %s", url, got, b.voucher, b.size, cause)
	}
	if got := hexSum(h); got != b.sha256 {
		return problemf(ErrMismatch, "%s: sha256 is %s, %s says %s: %s", url, got, b.voucher, b.sha256, cause)
	}
	return nil
}
