// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLateDisk: a disk that comes after the config was applied does not cover what was
// written below the data directory.
func TestLateDisk(t *testing.T) {
	const data, manifest = "/srv/k3s", "/srv/k3s/server/manifests/kairos/a.yaml"
	const config = "k3s: {enabled: true, args: [--data-dir=" + data + "], images: [/usr/a.tar], manifests: {a: '{apiVersion: v1, kind: A}'}}\n"
	h := newHost(t)
	h.put("usr/a.tar", "")
	h.put("srv/k3s/agent/images/kairos-9-old.tar", "")
	h.mounts = append(h.mounts, func() {
		if h.Root.Exists(manifest) || h.Root.Exists(data+"/agent/images/kairos-0-a.tar") {
			t.Error("written before the disk was there")
		}
		h.mounts = nil
	})
	h.apply(config, k3sVersion, k3sList)
	if info, err := h.Root.Stat(manifest); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if to, err := h.Root.Readlink(data + "/agent/images/kairos-0-a.tar"); err != nil || to != "/usr/a.tar" || h.Root.Exists(data+"/agent/images/kairos-9-old.tar") {
		t.Errorf("%q, %v", to, err)
	}
	if info, err := h.Root.Stat(belowFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", belowFile, info, err)
	}
	h.put(manifest[1:], "changed by a person")
	if _, err := h.Files(); err != nil {
		t.Error(err)
	}
	if got, err := h.Root.Read(manifest); err != nil || string(got) != "{apiVersion: v1, kind: A}\n" {
		t.Errorf("after another start: %s, %v", got, err)
	}
	h.apply("hostname: a\n", k3sVersion, k3sList)
	if h.Root.Exists(belowFile) || h.Root.Exists(memberFile) {
		t.Error("a node without a role has files of one")
	}
	if _, err := h.Files(); err == nil || !strings.Contains(err.Error(), "what belongs below the data directory is not known") {
		t.Errorf("got %v", err)
	}
}

// TestFilesFail: a manifest that cannot be written keeps the service from starting, an
// archive that is missing does not.
func TestFilesFail(t *testing.T) {
	h := newHost(t)
	h.apply("k3s: {enabled: true, images: [/usr/no.tar]}\n", k3sVersion, k3sList)
	if items, err := h.Files(); err != nil || len(items) == 0 || !strings.HasSuffix(items[len(items)-1].String(), "failed: there is no /usr/no.tar; make or fetch it in the stage boot or before") {
		t.Errorf("%v, %v", items, err)
	}
	h.apply(simple, k3sVersion, k3sList)
	dir := filepath.Join(h.Root.Dir, "var/lib/rancher/k3s/server/manifests")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	h.put("var/lib/rancher/k3s/server/manifests", "no directory")
	if _, err := h.Files(); err == nil || !strings.Contains(err.Error(), "manifests/kairos/a.yaml: failed") {
		t.Errorf("got %v", err)
	}
}

// TestUnpacked: k3s unpacks its programs again when its release is another one, and only
// then. A cut of power in the middle is mended.
func TestUnpacked(t *testing.T) {
	const data = "/var/lib/rancher/k3s"
	const agent = "k3s-agent: {enabled: true, args: [--server=https://a]}\n"
	for _, config := range []string{simple, agent} {
		h := newHost(t)
		boot := func(version string) (unpacked bool) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(h.Root.Dir, "run")); err != nil {
				t.Fatal(err)
			}
			clear(h.active)
			h.apply(config, version, k3sList)
			if h.Root.Exists(data + "/data.old") {
				t.Error("data.old is still there")
			}
			return !h.Root.Exists(data + "/data")
		}
		boot("v1.34.1+k3s1")
		h.put("var/lib/rancher/k3s/data/1/bin/k3s", "")
		if boot("v1.34.1+k3s1") {
			t.Error("the same release unpacks again")
		}
		for _, release := range []string{"v1.35.1+k3s1", "v1.34.1+k3s1"} {
			if !boot(release) {
				t.Errorf("%s finds what another release unpacked", release)
			}
			h.put("var/lib/rancher/k3s/data/2/bin/k3s", "")
		}
		h.put("var/lib/rancher/k3s/data.old/2/bin/k3s", "")
		if boot("v1.34.1+k3s1") {
			t.Error("after a cut, the same release unpacks again")
		}
		h.put("var/lib/rancher/k3s/data.old/2/bin/k3s", "")
		if !boot("v1.35.1+k3s1") {
			t.Error("after a cut, another release finds what was unpacked")
		}
	}
	h := newHost(t)
	h.put("var/lib/k0s/data/a", "")
	h.apply("k0s: {enabled: true}\n", k0sVersion, k0sList)
	if !h.Root.Exists("/var/lib/k0s/data/a") {
		t.Error("k0s unpacks nothing there")
	}
}
