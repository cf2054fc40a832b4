// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/inputs"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

var epoch = time.Unix(1_700_000_000, 0).UTC()

// layer are the inputs of a release.
func layer(t *testing.T, s *setting) []inputs.Source {
	t.Helper()
	r, err := s.Find(t.Context(), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.Inputs(epoch)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, s inputs.Source) ([]byte, error) {
	t.Helper()
	var out bytes.Buffer
	err := s.Write(t.Context(), &out, func(int64, int64) {})
	return out.Bytes(), err
}

// listing has one line for each entry: mode, name, target or content.
func listing(t *testing.T, stream []byte) (lines []string, times map[string]time.Time) {
	t.Helper()
	times = map[string]time.Time{}
	for r := tar.NewReader(bytes.NewReader(stream)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines, times
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		times[h.Name] = h.ModTime
		text := strings.TrimSuffix(string(data), "\n")
		if strings.Contains(text, "\n") || h.Typeflag == tar.TypeReg && text == "" {
			text = "…"
		}
		if h.Typeflag != tar.TypeDir {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%o %s %s%s", h.Mode, h.Name, h.Linkname, text)))
		}
	}
}

// TestLayer: what is in the image, with each distribution.
func TestLayer(t *testing.T) {
	k3s, k0s := bothMirrors(t)
	for _, tt := range []struct {
		name    string
		setting *setting
		want    []string
	}{
		{"k3s", find(t, release.K3s, "v1.34.1+k3s1", k3s.url()), []string{
			"777 usr/bin/crictl k3s", "777 usr/bin/ctr k3s", "755 usr/bin/k3s …", "777 usr/bin/kubectl k3s",
			"644 usr/lib/kairos/kubernetes v1.34.1+k3s1",
			"644 usr/lib/systemd/system/k3s-agent.service …", "644 usr/lib/systemd/system/k3s.service …",
			"644 usr/lib/systemd/system-preset/10-kairos-kubernetes.preset …",
		}},
		{"k0s", find(t, release.K0s, "v1.34.1+k0s.0", k0s.url(), airgap), []string{
			"777 usr/bin/ctr k0s", "755 usr/bin/k0s …", "777 usr/bin/kubectl k0s",
			"644 usr/lib/kairos/kubernetes v1.34.1+k0s.0",
			"644 usr/lib/kairos/kubernetes-images/k0s-airgap-bundle-v1.34.1+k0s.0-amd64 …",
			"644 usr/lib/systemd/system/k0scontroller.service …", "644 usr/lib/systemd/system/k0sworker.service …",
			"644 usr/lib/systemd/system-preset/10-kairos-kubernetes.preset …",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := layer(t, tt.setting)
			stream, err := write(t, all[0])
			if err != nil {
				t.Fatal(err)
			}
			lines, times := listing(t, stream)
			slices.Sort(tt.want)
			slices.Sort(lines)
			if diff := cmp.Diff(tt.want, lines); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for name, at := range times {
				if program := name == "usr/bin/"+tt.name; at.Equal(epoch) == program || at.After(epoch) {
					t.Errorf("%s has the time %s", name, at)
				}
			}
			if again, err := write(t, all[0]); err != nil || !bytes.Equal(stream, again) {
				t.Errorf("the second time, the layer is another one (%v)", err)
			}
		})
	}
}

// TestUsersOfK0s: the input with the users is the same for all versions, and k3s has
// none. The numbers are those that nodes have files of.
func TestUsersOfK0s(t *testing.T) {
	k3s, k0s := bothMirrors(t)
	if all := layer(t, find(t, release.K3s, "v1.34", k3s.url())); len(all) != 1 || all[0].Name != "kubernetes" {
		t.Errorf("k3s has %d inputs", len(all))
	}
	old, now := layer(t, find(t, release.K0s, "v1.33", k0s.url())), layer(t, find(t, release.K0s, "v1.34", k0s.url()))
	if len(old) != 2 || old[1].Name != "users" || !bytes.Equal(old[1].Key, now[1].Key) || bytes.Equal(old[0].Key, now[0].Key) {
		t.Error("another version has other users, or the same program")
	}
	stream, err := write(t, old[1])
	if err != nil {
		t.Fatal(err)
	}
	users := regexp.MustCompile(`(?m)^u (\S+)\s+(\d+) `).FindAllSubmatch(stream, -1)
	var got []string
	for _, u := range users {
		got = append(got, string(u[1])+"="+string(u[2]))
	}
	if want := []string{"etcd=560", "kube-apiserver=561", "kube-scheduler=562", "konnectivity-server=563", "keepalived=564"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestKeyOfTheLayer: everything that is in the layer is in its key.
func TestKeyOfTheLayer(t *testing.T) {
	m, other := newMirror(t), newMirror(t)
	m.k3s("v1.34.1+k3s1", "v1.34.1+k3s2")
	other.release("v1.34.1+k3s1", "sha256sum-amd64.txt", "  ", "k3s", "k3s-airgap-images-amd64.tar.zst", "more")
	key := func(s *setting) string { return string(layer(t, s)[0].Key) }
	first := key(find(t, release.K3s, "v1.34.1+k3s1", m.url()))
	if key(find(t, release.K3s, "v1.34.1+k3s1", other.url())) != first {
		t.Error("another mirror has another key")
	}
	if key(find(t, release.K3s, "v1.34.1+k3s2", m.url())) == first || key(find(t, release.K3s, "v1.34.1+k3s1", m.url(), airgap)) == first {
		t.Error("another version, or images, have the same key")
	}
}

// TestTimeOfTheProgram: it is another one for another program, and before all images.
func TestTimeOfTheProgram(t *testing.T) {
	seen := map[int64]bool{}
	for i := range 1000 {
		at, err := programTime(sumOf(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		seen[at.Unix()] = true
		if at.Year() < 2001 || at.Year() > 2018 || at.Nanosecond() != 0 {
			t.Errorf("%d has the time %s", i, at)
		}
	}
	if len(seen) < 999 {
		t.Errorf("1000 programs have %d times", len(seen))
	}
}

// TestWrongChecksum: the file is deleted and fetched once more. If it is right then,
// it is used, else it is refused; both are said.
func TestWrongChecksum(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	for _, tt := range []struct {
		name  string
		wrong int // how many times
		want  string
	}{
		{"once", 1, ""},
		{"always", 9, "sha256 is " + sumOf("evil")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := m.serve(func(w http.ResponseWriter, path string, nth int) bool {
				bad := strings.HasSuffix(path, "/k3s") && nth <= tt.wrong
				if bad {
					_, _ = io.WriteString(w, "evil")
				}
				return bad
			})
			s := find(t, release.K3s, "v1.34.1+k3s1", server.URL)
			stream, err := write(t, layer(t, s)[0])
			if got := strings.Count(strings.Join(server.asked, " "), "/v1.34.1%2Bk3s1/k3s"); got != 2 {
				t.Errorf("it was fetched %d times", got)
			}
			if !strings.Contains(s.log.String(), "wrong file: it was deleted and is fetched once more") {
				t.Errorf("the log says %s", &s.log)
			}
			if bytes.Contains(stream, []byte("evil")) {
				t.Error("the wrong program is in the layer")
			}
			files, _ := filepath.Glob(s.Cache + "/*")
			if tt.want == "" {
				if err != nil || !bytes.Contains(stream, []byte(content("k3s", "v1.34.1+k3s1"))) || len(files) != 1 {
					t.Errorf("got %v with the files %v", err, files)
				}
				return
			}
			for _, want := range []string{
				server.URL + "/v1.34.1%2Bk3s1/k3s: " + tt.want, server.URL + "/v1.34.1%2Bk3s1/sha256sum-amd64.txt says " + sumOf(content("k3s", "v1.34.1+k3s1")),
				"the file was fetched twice, deleted and is not used", "choose a mirror with --mirror k3s=URL",
			} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if len(files) != 0 {
				t.Errorf("the files %v are left", files)
			}
		})
	}
}

// TestDownloads: a file is fetched once, a connection that ends early is no checksum
// that is wrong, and a damaged file is fetched again.
func TestDownloads(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	program := content("k3s", "v1.34.1+k3s1")
	server := m.serve(func(w http.ResponseWriter, path string, nth int) bool {
		cut := strings.HasSuffix(path, "/k3s") && nth == 1
		if cut {
			w.Header().Set("Content-Length", fmt.Sprint(len(program)))
			_, _ = io.WriteString(w, program[:5])
		}
		return cut
	})
	s := find(t, release.K3s, "v1.34.1+k3s1", server.URL)
	source := layer(t, s)[0]
	server.asked = nil
	for i, step := range []struct {
		name   string
		before func()
		asked  int
	}{
		{"cut short", func() {}, 2},
		{"it is there", func() {}, 2},
		{"damaged", func() { damage(t, filepath.Join(s.Cache, sumOf(program))) }, 3},
	} {
		step.before()
		if stream, err := write(t, source); err != nil || !bytes.Contains(stream, []byte(program)) {
			t.Errorf("%s: %v", step.name, err)
		}
		if len(server.asked) != step.asked {
			t.Errorf("%d, %s: asked for %v", i, step.name, server.asked)
		}
	}
	if log := s.log.String(); strings.Contains(log, "wrong file") || !strings.Contains(log, "unexpected EOF") || !strings.Contains(log, "is damaged: fetching it again") {
		t.Errorf("the log says %s", log)
	}
}

func damage(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOldDownloadsGo: the files that were used last stay.
func TestOldDownloadsGo(t *testing.T) {
	m := newMirror(t)
	for i := range kept + 2 {
		m.k3s(fmt.Sprintf("v1.34.%d+k3s1", i))
	}
	cache := t.TempDir()
	for i := range kept + 2 {
		version := fmt.Sprintf("v1.34.%d+k3s1", i)
		if _, err := write(t, layer(t, find(t, release.K3s, version, m.url(), func(o *Options) { o.Cache = cache }))[0]); err != nil {
			t.Fatal(err)
		}
		at := epoch.Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(filepath.Join(cache, sumOf(content("k3s", version))), at, at); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(cache)
	if err != nil || len(entries) != kept {
		t.Errorf("%d files are left (%v), want %d", len(entries), err, kept)
	}
	if _, err := os.Stat(filepath.Join(cache, sumOf(content("k3s", "v1.34.0+k3s1")))); !os.IsNotExist(err) {
		t.Errorf("the oldest is still there (%v)", err)
	}
}

// TestProgress: it never goes back, and ends with the size of all files.
func TestProgress(t *testing.T) {
	m := newMirror(t)
	m.k3s("v1.34.1+k3s1")
	size := int64(len(content("k3s", "v1.34.1+k3s1")) + len(content("k3s-airgap-images-amd64.tar.zst", "v1.34.1+k3s1")))
	var last, total int64
	source := layer(t, find(t, release.K3s, "v1.34.1+k3s1", m.url(), airgap))[0]
	err := source.Write(t.Context(), io.Discard, func(done, all int64) {
		if done < last || all < done {
			t.Errorf("%d of %d after %d", done, all, last)
		}
		last, total = done, all
	})
	if err != nil || last != size || total != size {
		t.Errorf("ends with %d of %d (%v), want %d", last, total, err, size)
	}
}

// TestAirgapImages: the name is the one that the release has, and a release without
// images is refused before anything is fetched.
func TestAirgapImages(t *testing.T) {
	m := newMirror(t)
	m.release("v1.36.3+k0s.2", "sha256sums.txt", " *", "k0s-v1.36.3+k0s.2-amd64", "k0s-airgap-bundle-v1.36.3+k0s.2-linux-amd64.tar")
	m.release("v1.35.0+k0s.0", "sha256sums.txt", " *", "k0s-v1.35.0+k0s.0-amd64")
	m.release("v1.34.0+k0s.0", "sha256sums.txt", " *", "readme")
	r, err := find(t, release.K0s, "v1.36.3+k0s.2", m.url(), airgap).Find(t.Context(), "amd64")
	if err != nil || r.Images.Name != "k0s-airgap-bundle-v1.36.3+k0s.2-linux-amd64.tar" || len(r.Files()) != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
	for version, want := range map[string]string{
		"v1.35.0+k0s.0": "v1.35.0+k0s.0 has no file k0s-airgap-bundle-v1.35.0+k0s.0-linux-amd64.tar or k0s-airgap-bundle-v1.35.0+k0s.0-amd64: " + m.url() + "/v1.35.0%2Bk0s.0/sha256sums.txt does not list it",
		"v1.34.0+k0s.0": "v1.34.0+k0s.0 has no file k0s-v1.34.0+k0s.0-amd64: ",
	} {
		if _, err := find(t, release.K0s, version, m.url(), airgap).Find(t.Context(), "amd64"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", version, err, want)
		}
	}
}

// TestUnits: the services are those of the reference where it matters on a node.
func TestUnits(t *testing.T) {
	for _, tt := range []struct{ dir, unit, start, kind string }{
		{"k3s", "k3s", "/usr/bin/k3s server", "notify"}, {"k3s", "k3s-agent", "/usr/bin/k3s agent", "notify"},
		{"k0s", "k0scontroller", "/usr/bin/k0s controller", "simple"}, {"k0s", "k0sworker", "/usr/bin/k0s worker", "simple"},
	} {
		data, err := static.ReadFile("files/" + tt.dir + "/usr/lib/systemd/system/" + tt.unit + ".service")
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(data), "\n")
		for _, want := range []string{
			"ExecStart=" + tt.start, "Type=" + tt.kind, "KillMode=process", "Delegate=yes", "TimeoutStartSec=0", "TasksMax=infinity", "Restart=always",
			"After=network-online.target", "Wants=network-online.target", "ExecStartPre=-/sbin/modprobe br_netfilter", "WantedBy=multi-user.target",
		} {
			if !slices.Contains(lines, want) {
				t.Errorf("%s.service has no line %s", tt.unit, want)
			}
		}
		preset, err := static.ReadFile("files/" + tt.dir + "/usr/lib/systemd/system-preset/10-kairos-kubernetes.preset")
		if err != nil || !strings.Contains(string(preset), "disable "+tt.unit+".service\n") {
			t.Errorf("no preset for %s (%v)", tt.unit, err)
		}
	}
}
