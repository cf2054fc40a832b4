// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
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
}

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
		s.client.log.Warn("wrong checksum: the file was deleted and is fetched once more", "file", f.Name, "sha256", wrong, "want", f.SHA256)
		wrong, err = s.download(ctx, f, path, report)
	}
	if err == nil && wrong != "" {
		err = fmt.Errorf("%s: sha256 is %s, %s says %s: the file was fetched twice, deleted and is not used; the server is inconsistent or tampered with; %s",
			fetch.Shown(f.URL), wrong, fetch.Shown(f.List), f.SHA256, s.client.advice)
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
	return false, os.Remove(path)
}

// download writes a file to path if its checksum is right, else it returns the wrong
// checksum and leaves nothing.
func (s *store) download(ctx context.Context, f File, path string, report inputs.Report) (wrong string, err error) {
	for _, address := range append([]string{f.URL}, f.others...) {
		err = s.client.get(ctx, address, func(r *http.Response) error {
			wrong, err = receive(r, f.SHA256, path, report)
			return err
		})
		if !errors.Is(err, errMissing) {
			break
		}
	}
	return wrong, err
}

func receive(r *http.Response, want, path string, report inputs.Report) (wrong string, err error) {
	file, err := durable.New(path, 0o644)
	if err != nil {
		return "", writeError{err}
	}
	sum := sha256.New()
	m := &meter{total: r.ContentLength, report: report}
	if _, err := io.Copy(io.MultiWriter(disk{file}, sum, m), r.Body); err != nil {
		return "", errors.Join(err, file.Discard())
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return got, file.Discard()
	}
	if err := file.Publish(); err != nil {
		return "", writeError{err}
	}
	return "", nil
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
