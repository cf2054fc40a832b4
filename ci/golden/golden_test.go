// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A judged test keeps the messages of Check.
type judged struct {
	testing.TB
	said []string
}

func (j *judged) Helper()                      {}
func (j *judged) Errorf(f string, args ...any) { j.said = append(j.said, fmt.Sprintf(f, args...)) }
func (j *judged) Fatalf(f string, args ...any) { j.Errorf(f, args...); panic(j) }
func (j *judged) Fatal(args ...any)            { j.Errorf("%s", fmt.Sprint(args...)); panic(j) }

// check runs Check and returns its messages.
func check(t *testing.T, path, got string) (said string) {
	t.Helper()
	j := &judged{TB: t}
	defer func() {
		if r := recover(); r != nil && r != any(j) {
			panic(r)
		}
		said = strings.Join(j.said, "\n")
	}()
	Check(j, path, got)
	return ""
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testdata", "a.golden")
	if said := check(t, path, "one\n"); !strings.Contains(said, "write it with -update") {
		t.Errorf("no file: says %q", said)
	}
	*update = true
	if said := check(t, path, "one\n"); said != "" {
		t.Errorf("with -update: says %q", said)
	}
	*update = false
	if said := check(t, path, "one\n"); said != "" {
		t.Errorf("the same: says %q", said)
	}
	if said := check(t, path, "two\n"); !strings.Contains(said, "differs") || !strings.Contains(said, "two") {
		t.Errorf("another text: says %q", said)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "one\n" {
		t.Errorf("the file holds %q (%v), without -update it stays", data, err)
	}
}
