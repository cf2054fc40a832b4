// SPDX-License-Identifier: Apache-2.0

package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soon fails when f waits.
func soon(t *testing.T, f func() ([]byte, error)) ([]byte, error) {
	t.Helper()
	type answer struct {
		data []byte
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		data, err := f()
		done <- answer{data, err}
	}()
	select {
	case a := <-done:
		return a.data, a.err
	case <-time.After(20 * time.Second):
		t.Fatal("the read waits")
		return nil, nil
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(at("file"), []byte("12345678"), 0o600),
		os.WriteFile(at("empty"), nil, 0o600),
		os.WriteFile(at("sparse"), nil, 0o600), os.Truncate(at("sparse"), 8<<40),
		unix.Mkfifo(at("pipe"), 0o600),
		os.Symlink("file", at("link")), os.Symlink("gone", at("dangling")), os.Mkdir(at("dir"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		data string
		is   error
		text string
	}{
		"file":     {data: "12345678"},
		"empty":    {},
		"sparse":   {is: ErrTooLarge, text: "more than 8 bytes"},
		"pipe":     {is: ErrKind, text: "it is a named pipe"},
		"link":     {is: ErrKind, text: "it is a symbolic link"},
		"dangling": {is: ErrKind, text: "it is a symbolic link"},
		"dir":      {is: unix.EISDIR},
		"gone":     {is: fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := soon(t, func() ([]byte, error) { return Read(at(name), 8) })
			if string(data) != want.data || !errors.Is(err, want.is) {
				t.Fatalf("read %q, %v", data, err)
			}
			if err != nil && (!strings.Contains(err.Error(), want.text) || !strings.Contains(err.Error(), name)) {
				t.Errorf("%v says nothing of %q", err, want.text)
			}
		})
	}
	if _, err := Read(at("file"), 7); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
}

// TestGrowing: the limit holds for the content, whatever size the file claims.
func TestGrowing(t *testing.T) {
	f, err := Open("/proc/self/mountinfo") // its size is 0
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Content(f, 1<<10-1000); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "24 bytes") {
		t.Errorf("got %v", err)
	}
}

// TestLease: the owner of a file can make an open for reading wait for 45 s.
func TestLease(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("SKIPPED: this file system has no leases: %v", err)
	}
	if _, err := soon(t, func() ([]byte, error) { return Read(name, 8) }); err == nil || !strings.Contains(err.Error(), "holds a lease") {
		t.Errorf("got %v", err)
	}
}
