// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/ondisk/durable"
)

// A pass is a run of a target that found nothing.
type pass struct {
	Package string `json:"package"`
	Target  string `json:"target"`
	Code    string `json:"code"` // codeOf the package
	Date    string `json:"date"`
	Time    string `json:"time"`   // of the run, as Go writes a duration
	Inputs  int64  `json:"inputs"` // that were tried
}

func (p pass) of(t target) bool { return p.Package == t.pkg && p.Target == t.name }

// A ledger is a JSON file with the last pass of each target, ordered by their names.
type ledger struct {
	file   string
	passes []pass
}

// openLedger reads file, which need not exist.
func openLedger(file string) (*ledger, error) {
	l := &ledger{file: file}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which targets passed: %w", err)
	}
	if err := json.Unmarshal(data, &l.passes); err != nil {
		return nil, fmt.Errorf("reading which targets passed: %s: %w", file, err)
	}
	return l, nil
}

// has says whether the target passed with this code, for at least the time.
func (l *ledger) has(t target, code string, least time.Duration) bool {
	return slices.ContainsFunc(l.passes, func(p pass) bool {
		ran, err := time.ParseDuration(p.Time)
		return p.of(t) && p.Code == code && err == nil && ran >= least
	})
}

// tidy forgets what is no target any more of the packages, by their import paths.
func (l *ledger) tidy(targets []target, codes map[string]string) error {
	known := len(l.passes)
	l.passes = slices.DeleteFunc(l.passes, func(p pass) bool {
		_, listed := codes[p.Package]
		return listed && !slices.ContainsFunc(targets, p.of)
	})
	if len(l.passes) == known {
		return nil
	}
	return l.write()
}

func (l *ledger) forget(t target) error {
	l.passes = slices.DeleteFunc(l.passes, func(p pass) bool { return p.of(t) })
	return l.write()
}

func (l *ledger) add(p pass) error {
	l.passes = slices.DeleteFunc(l.passes, func(old pass) bool { return old.of(target{p.Package, p.Target}) })
	l.passes = append(l.passes, p)
	slices.SortFunc(l.passes, func(a, b pass) int {
		return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.Target, b.Target))
	})
	return l.write()
}

func (l *ledger) write() error {
	data, err := json.MarshalIndent(l.passes, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.file), 0o755); err != nil {
		return err
	}
	return durable.Write(l.file, append(data, '\n'), 0o644)
}

// codeOf is a digest of a package's Go files: those that are compiled into programs, and the
// tests with fuzz targets. It does not cover the packages that are imported.
func codeOf(dir string) (string, error) {
	files, err := os.ReadDir(dir) // in the order of their names
	if err != nil {
		return "", fmt.Errorf("reading the code of a package: %w", err)
	}
	sum := sha256.New()
	for _, file := range files {
		if filepath.Ext(file.Name()) != ".go" || file.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return "", fmt.Errorf("reading the code of a package: %w", err)
		}
		if strings.HasSuffix(file.Name(), "_test.go") && !strings.Contains(string(data), "\nfunc Fuzz") {
			continue
		}
		fmt.Fprintf(sum, "%s %d\n%s", file.Name(), len(data), data)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}
