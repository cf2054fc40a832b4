// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/folder"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// A store is a folder of files whose names are their SHA-256. A file appears there
// when its checksum was found right.
type store struct {
	dir    string
	client *client
	most   int64 // size, in bytes, of the largest file that is accepted
}

// most is many times the size of any file of a release.
const most = 4 << 30

// kept is how many files stay in a store: those that were used last.
const kept = 6

// fetch returns the path of a file in the store. It downloads the file if it is not
// there. A file with a wrong checksum is deleted and downloaded once more; if that is
// wrong, too, it is refused.
func (s *store) fetch(ctx context.Context, f File, report inputs.Report) (string, error) {
	path := filepath.Join(s.dir, f.SHA256)
	if ok, err := s.has(path, f); ok || err != nil {
		return path, err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for downloads: %w", err)
	}
	wrong, err := s.download(ctx, f, path, report)
	if err == nil && wrong != "" {
		s.client.log.Warn("wrong file: it was deleted and is fetched once more", "file", f.Name, "because", wrong)
		wrong, err = s.download(ctx, f, path, report)
	}
	if err == nil && wrong != "" {
		err = fmt.Errorf("%s: %s: the file was fetched twice, deleted and is not used; the server is inconsistent or tampered with; %s", fetch.Shown(f.URL), wrong, s.client.advice)
	}
	if err != nil {
		return "", err
	}
	return path, s.prune()
}

// has reports whether the store holds the intact file. It removes a damaged one, and
// notes the use of an intact one.
func (s *store) has(path string, f File) (bool, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer file.Close() // opened for reading
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err == nil && hex.EncodeToString(sum.Sum(nil)) == f.SHA256 {
		now := time.Now() //nolint:forbidigo // the time of use decides which files stay
		return true, os.Chtimes(path, now, now)
	}
	s.client.log.Warn("a downloaded file is damaged: fetching it again", "file", path)
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) { // else another process removed it
		return false, err
	}
	return false, nil
}

// download writes a file to path if it is the right one. Else it says what is wrong with
// it, and leaves nothing.
func (s *store) download(ctx context.Context, f File, path string, report inputs.Report) (wrong string, err error) {
	for _, address := range append([]string{f.URL}, f.others...) {
		err = s.client.get(ctx, address, func(r *http.Response) error {
			wrong, err = s.receive(r, f, path, report)
			return err
		})
		if !errors.Is(err, errMissing) {
			return wrong, err
		}
	}
	return "", fmt.Errorf("%w: %s", err, s.client.advice)
}

func (s *store) receive(r *http.Response, f File, path string, report inputs.Report) (wrong string, err error) {
	limit := cmp.Or(f.Size, s.most)
	if r.ContentLength > limit {
		return s.wrongSize(f, r.ContentLength), nil
	}
	file, err := durable.New(path, 0o644)
	if err != nil {
		return "", writeError{err}
	}
	sum := sha256.New()
	m := &meter{total: r.ContentLength, report: report}
	// One byte more is enough to detect that the file is too long.
	size, err := io.Copy(io.MultiWriter(disk{file}, sum, m), io.LimitReader(r.Body, limit+1))
	if err != nil {
		return "", errors.Join(err, file.Discard())
	}
	if wrong := s.wrongSize(f, size); wrong != "" {
		return wrong, file.Discard()
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return fmt.Sprintf("sha256 is %s, %s says %s", got, fetch.Shown(f.List), f.SHA256), file.Discard()
	}
	if err := file.Publish(); err != nil {
		return "", writeError{err}
	}
	return "", nil
}

// wrongSize says what is wrong with the size of a file, or nothing.
func (s *store) wrongSize(f File, size int64) string {
	switch {
	case f.Size == 0 && size > s.most:
		return fmt.Sprintf("it has more than %d bytes, so it is no file of a release", s.most)
	case f.Size != 0 && size > f.Size:
		return fmt.Sprintf("it has more than the %d bytes that %s says", f.Size, fetch.Shown(f.List))
	case f.Size != 0 && size < f.Size:
		return fmt.Sprintf("it has %d bytes, %s says %d", size, fetch.Shown(f.List), f.Size)
	}
	return ""
}

// disk marks errors of writing.
type disk struct{ io.Writer }

func (d disk) Write(p []byte) (int, error) {
	n, err := d.Writer.Write(p)
	if err != nil {
		err = writeError{err}
	}
	return n, err
}

// A meter reports how many bytes came. total is negative if the server does not say.
type meter struct {
	done, total int64
	report      inputs.Report
}

func (m *meter) Write(p []byte) (int, error) {
	m.done += int64(len(p))
	m.report(m.done, max(m.total, m.done))
	return len(p), nil
}

// prune removes all files but those that were used last.
func (s *store) prune() error {
	paths, err := folder.Glob(s.dir, "*")
	if err != nil || len(paths) <= kept {
		return err
	}
	used := map[string]time.Time{}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil { // else another process removed it
			used[path] = info.ModTime()
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return used[b].Compare(used[a]) })
	for _, path := range paths[kept:] {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
