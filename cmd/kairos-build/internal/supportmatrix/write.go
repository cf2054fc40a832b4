// SPDX-License-Identifier: Apache-2.0

package supportmatrix

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// JSON is the content of report.json.
func (r *Report) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // people read the messages too
	e.SetIndent("", " ")
	err := e.Encode(r)
	return b.Bytes(), err
}

// Write writes the report into a folder: the page, its two other forms, and copies of the
// files that it links to. The folder is new, empty, or has an earlier report, which is
// replaced: its runs stay if it is one of Options.Dirs.
func (r *Report) Write(dir string) error {
	if err := usable(dir); err != nil {
		return err
	}
	for _, run := range r.Runs {
		if err := run.copyTo(filepath.Join(dir, runsName, run.ID)); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	data, err := r.JSON()
	if err != nil {
		return err
	}
	page, err := r.Page()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{JSONName, data}, {MarkdownName, r.Markdown(true)}, {PageName, page}} {
		if err := durable.Write(filepath.Join(dir, f.name), f.data, 0o644); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return r.sweep(dir)
}

// usable tells whether a report can be written to a folder: nothing of others is there.
func usable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	var earlier Report
	data, err := os.ReadFile(filepath.Join(dir, JSONName))
	if err != nil || json.Unmarshal(data, &earlier) != nil || earlier.Runs == nil {
		return fmt.Errorf("%s is not empty and has no earlier report: name a new folder with -o", dir)
	}
	return nil
}

// copyTo copies the files of a run.
func (r Run) copyTo(dir string) error {
	if same(r.from.String(), dir) {
		return nil
	}
	for _, name := range r.Files {
		if err := r.copyFile(name, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	return nil
}

// same tells whether two paths are one folder.
func same(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

func (r Run) copyFile(name, to string) (err error) {
	from, err := os.OpenInRoot(r.from.root, filepath.Join(filepath.FromSlash(r.from.below), filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	data, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return durable.WriteCache(to, data, 0o644)
}

// sweep removes the files of runs that the report no longer has.
func (r *Report) sweep(dir string) error {
	entries, err := os.ReadDir(filepath.Join(dir, runsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, run := range r.Runs {
		has[run.ID] = len(run.Files) > 0
	}
	for _, e := range entries {
		if !has[e.Name()] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, runsName, e.Name())))
		}
	}
	return err
}
