// SPDX-License-Identifier: Apache-2.0

package site

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kairos-build/kairos-build/flavors"
)

// put writes a file below the current folder with exactly this mode.
func put(t *testing.T, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// modes are the modes of files by their paths; links and folders have their kind.
func modes(t *testing.T, overlays []flavors.Overlay, files []File) map[string]string {
	t.Helper()
	list, err := Read(overlays, files)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range list {
		switch {
		case f.Dir:
			got[f.Path] = "folder"
		case f.Link != "":
			got[f.Path] = "-> " + f.Link
		default:
			got[f.Path] = f.Mode.String() + " " + f.From
		}
	}
	return got
}

// TestRead: a clone of the folder with another umask gives the same files.
func TestRead(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, umask := range []fs.FileMode{0o022, 0o002} {
		put(t, "files/etc/motd", 0o666&^umask)
		put(t, "files/usr/bin/tool", 0o777&^umask)
		put(t, "files/etc/key", 0o666&^umask)
		put(t, "files/usr/bin/root", 0o777&^umask)
		if err := os.MkdirAll("files/opt/empty", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("tool", "files/usr/bin/link"); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		got := modes(t, []flavors.Overlay{{Dir: "files", Modes: map[string]uint32{"etc/key": 0o600, "usr/bin/root": 0o4755}}}, nil)
		want := map[string]string{
			"etc/motd": "-rw-r--r-- files/etc/motd", "usr/bin/tool": "-rwxr-xr-x files/usr/bin/tool", "etc/key": "-rw------- files/etc/key",
			"usr/bin/root": "urwxr-xr-x files/usr/bin/root", "opt/empty": "folder", "usr/bin/link": "-> tool",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("umask %o (-want +got):\n%s", umask, diff)
		}
	}
}

// TestLaterCounts: of two files with one path the later is in the image.
func TestLaterCounts(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "a/etc/motd", 0o644)
	put(t, "b/etc/motd", 0o644)
	put(t, "mine", 0o640)
	overlays := []flavors.Overlay{{Dir: "a"}, {Dir: "b"}}
	if got := modes(t, overlays, nil)["etc/motd"]; got != "-rw-r--r-- b/etc/motd" {
		t.Errorf("got %s", got)
	}
	if got := modes(t, overlays, []File{{"mine", "/etc/motd"}})["etc/motd"]; got != "-rw-r----- mine" {
		t.Errorf("got %s", got)
	}
}

// TestReadRefuses names every mistake at once.
func TestReadRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "files/usr/bin/su2", fs.ModeSetuid|0o755)
	put(t, "files/etc/secret", 0o600)
	put(t, "files/usr/bin/kairos-agent", 0o755)
	put(t, "files/usr/local/bin/x", 0o755)
	put(t, "plain", 0o644)
	put(t, "su", fs.ModeSetuid|0o755)
	if err := os.MkdirAll("files/dev-like", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo("files/dev-like/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", "files/dev-like/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	_, err = Read([]flavors.Overlay{{Dir: "files"}, {Dir: "plain"}, {Dir: "nowhere"}}, []File{
		{"none", "/etc/none"}, {"files", "/etc/files"}, {"su", "/usr/bin/su"}, {"plain", "/etc/hosts"},
	})
	if err == nil {
		t.Fatal("all of it was accepted")
	}
	for _, want := range []string{
		`files/usr/bin/su2 has the mode 4755: a set-user-ID, set-group-ID or sticky bit must be said in flavor.yaml: modes: {usr/bin/su2: "4755"}`,
		`files/etc/secret has the mode 0600: not everybody may read it, and version control does not keep that; say it in flavor.yaml: modes: {etc/secret: "0600"}`,
		"files/usr/bin/kairos-agent cannot be /usr/bin/kairos-agent in the image: the framework needs its own file /usr/bin/kairos-agent",
		"files/usr/local/bin/x cannot be /usr/local/bin/x in the image: a node mounts its persistent partition there; use another place below /usr",
		"files/dev-like/pipe is a named pipe: only files, links and folders can be copied into an image",
		"files/dev-like/socket is a socket: only files",
		"overlay plain: it is no folder: name a folder with files as they are in the image; --file SRC:DST adds one file",
		"overlay nowhere: there is no such folder",
		"--file none:/etc/none: there is no file none",
		"--file files:/etc/files: files is a folder: --overlay copies the files of a folder",
		`--file su:/usr/bin/su: su has the mode 4755: a set-user-ID, set-group-ID or sticky bit is not copied; set it with --run "chmod 4755 /usr/bin/su"`,
		"plain cannot be /etc/hosts in the image: every build writes it",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
}

func TestReadRefusesDevices(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("files", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod("files/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Skip("making a device: ", err)
	}
	if _, err := Read([]flavors.Overlay{{Dir: "files"}}, nil); err == nil || !strings.Contains(err.Error(), "files/null is a device: only files, links") {
		t.Errorf("got %v", err)
	}
}

func TestParseFile(t *testing.T) {
	for text, want := range map[string]File{"a:/etc/a": {"a", "/etc/a"}, "dir/a:/etc/": {"dir/a", "/etc/a"}, "a:/b:c": {"a", "/b:c"}} {
		if got, err := ParseFile(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"motd":       "--file motd: want SRC:DST, a file of this machine and its path in the image, such as motd:/etc/motd",
		":/etc/motd": "--file :/etc/motd: there is no file before the colon",
		"a:etc/motd": `--file a:etc/motd: "etc/motd" is not an absolute path in the image`,
		"a:/etc/../": `--file a:/etc/../: "/etc/../" is not`,
		"a:/b//c":    `--file a:/b//c: "/b//c" is not a clean path`,
		"a:":         `--file a:: "" is not an absolute path`,
	} {
		if _, err := ParseFile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
