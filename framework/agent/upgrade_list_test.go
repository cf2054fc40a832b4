// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/node"
	"github.com/kairos-build/kairos-build/framework/ondisk/fat32"
	"github.com/kairos-build/kairos-build/framework/slot"
)

const k3sNode = "13-standard-amd64-generic-"

// imagesOf starts a registry and returns the repository in it that has these tags.
func imagesOf(t *testing.T, tags ...string) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	t.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/edge/debian"
	for _, tag := range tags {
		ref, err := name.ParseReference(repository + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, empty.Image); err != nil {
			t.Fatal(err)
		}
	}
	return repository
}

// someTags has images for the node of listNode, and others.
func someTags() []string {
	return []string{
		"latest", k3sNode + "v1.9.0-k3s-v1.34.1-k3s1", k3sNode + "v1.10.0-k3s-v1.34.1-k3s1", k3sNode + "v1.10.0-k3s-v1.34.1-k3s2",
		k3sNode + "v1.11.0-k3s-v1.34.1-k3s2", k3sNode + "v1.12.0-rc.1-k3s-v1.34.1-k3s2", k3sNode + "v1.12.0-k0s-v1.34.1-k0s.0",
		"12-standard-amd64-generic-v1.12.0-k3s-v1.34.1-k3s1", "13-core-amd64-generic-v1.12.0",
	}
}

// listNode is a node with k3s, whose image came from this place.
func listNode(t *testing.T, image string) string {
	t.Helper()
	dir := slotNode(t, slot.Initial())
	volume(t, dir, "vda3", fat32.File{Path: layout.BootLabel, Data: []byte("VERSION=v1.10.0\nIMAGE=" + image + "\n")})
	release(t, dir, "v1.10.0")
	put(t, dir, layout.ImageKubernetes, "v1.34.1+k3s1\n")
	return dir
}

func release(t *testing.T, dir, version string) {
	t.Helper()
	put(t, dir, layout.ImageRelease, "KAIROS_FLAVOR=debian\nKAIROS_FLAVOR_RELEASE=13\nKAIROS_VARIANT=standard\nKAIROS_ARCH=amd64\nKAIROS_MODEL=generic\nKAIROS_VERSION="+version+"\n")
}

func TestUpgradeList(t *testing.T) {
	repository := imagesOf(t, someTags()...)
	row := func(version, kubernetes, image string) string {
		return version + "  " + kubernetes + "  oci:" + repository + ":" + image + "\n"
	}
	for _, tt := range []struct {
		name, image string
		args        []string
		want        string
	}{
		{"newer", "oci:" + repository + ":old", nil, "VERSION  KUBERNETES    SOURCE\n" +
			row("v1.11.0", "v1.34.1+k3s2", k3sNode+"v1.11.0-k3s-v1.34.1-k3s2") + row("v1.10.0", "v1.34.1+k3s2", k3sNode+"v1.10.0-k3s-v1.34.1-k3s2")},
		{"pre-releases", repository + "@sha256:" + strings.Repeat("0", 64), []string{"-pre"}, "VERSION       KUBERNETES    SOURCE\n" +
			row("v1.12.0-rc.1", "v1.34.1+k3s2", k3sNode+"v1.12.0-rc.1-k3s-v1.34.1-k3s2") + row("v1.11.0     ", "v1.34.1+k3s2", k3sNode+"v1.11.0-k3s-v1.34.1-k3s2") +
			row("v1.10.0     ", "v1.34.1+k3s2", k3sNode+"v1.10.0-k3s-v1.34.1-k3s2")},
		{"all", "dir:/nowhere", []string{"--all", "--source", "oci:" + repository}, "VERSION         KUBERNETES    SOURCE\n" +
			row("v1.11.0       ", "v1.34.1+k3s2", k3sNode+"v1.11.0-k3s-v1.34.1-k3s2") + row("v1.10.0       ", "v1.34.1+k3s2", k3sNode+"v1.10.0-k3s-v1.34.1-k3s2") +
			row("v1.10.0 (this)", "v1.34.1+k3s1", k3sNode+"v1.10.0-k3s-v1.34.1-k3s1") + row("v1.9.0        ", "v1.34.1+k3s1", k3sNode+"v1.9.0-k3s-v1.34.1-k3s1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := call(t, listNode(t, tt.image), "", append([]string{"upgrade", "list"}, tt.args...)...)
			if diff := cmp.Diff(result{0, tt.want, ""}, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestUpgradeListJSON(t *testing.T) {
	repository := imagesOf(t, someTags()...)
	dir := listNode(t, "oci:"+repository+":old")
	for _, tt := range []struct {
		version string
		args    []string
		want    node.Upgrades
	}{
		{"v1.10.0", nil, node.Upgrades{Source: "oci:" + repository, Version: "v1.10.0", Kubernetes: "v1.34.1+k3s1", Tags: 9, Images: []node.UpgradeImage{
			{Source: "oci:" + repository + ":" + k3sNode + "v1.11.0-k3s-v1.34.1-k3s2", Version: "v1.11.0", Kubernetes: "v1.34.1+k3s2"},
			{Source: "oci:" + repository + ":" + k3sNode + "v1.10.0-k3s-v1.34.1-k3s2", Version: "v1.10.0", Kubernetes: "v1.34.1+k3s2"},
		}}},
		{"v1.99.0", nil, node.Upgrades{Source: "oci:" + repository, Version: "v1.99.0", Kubernetes: "v1.34.1+k3s1", Tags: 9, Images: []node.UpgradeImage{}}},
	} {
		release(t, dir, tt.version)
		got := call(t, dir, "", append([]string{"upgrade", "list", "--json"}, tt.args...)...)
		var parsed node.Upgrades
		if err := json.Unmarshal([]byte(got.stdout), &parsed); err != nil || got.code != 0 || got.stderr != "" {
			t.Fatalf("got %+v, %v", got, err)
		}
		if diff := cmp.Diff(tt.want, parsed); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

// TestUpgradeListWithoutKubernetes lists images without Kubernetes only.
func TestUpgradeListWithoutKubernetes(t *testing.T) {
	repository := imagesOf(t, k3sNode+"v1.11.0", k3sNode+"v1.11.0-k3s-v1.34.1-k3s2")
	dir := newNode(t)
	release(t, dir, "v1.10.0")
	got := call(t, dir, "", "upgrade", "list", "--source", repository)
	if want := "VERSION  KUBERNETES  SOURCE\nv1.11.0  none        oci:" + repository + ":" + k3sNode + "v1.11.0\n"; got != (result{0, want, ""}) {
		t.Errorf("got %+v", got)
	}
}

func TestUpgradeListRefuses(t *testing.T) {
	repository := imagesOf(t, someTags()...)
	other := strings.TrimSuffix(repository, "debian") + "nothing"
	for _, tt := range []struct {
		name   string
		dir    func(t *testing.T) string
		args   []string
		code   int
		stderr string
	}{
		{"nothing newer", func(t *testing.T) string {
			dir := listNode(t, "oci:"+repository+":old")
			release(t, dir, "v1.99.0")
			return dir
		}, nil, 0, "no newer released image of this node's kind in oci:" + repository + ", which has 9 tags\n"},
		{"an image from a file", func(t *testing.T) string { return listNode(t, "ocifile:/usr/local/node.tar") }, nil, 2,
			"which registry? Give --source oci:REGISTRY/NAME: the image of this slot came from ocifile:/usr/local/node.tar, and not from a registry"},
		{"an image from nowhere", func(t *testing.T) string { return listNode(t, "") }, nil, 2, "where the image of this slot came from is not recorded"},
		{"no slots", newListNode, nil, 2, "or run it as root on a node that took its image from a registry"},
		{"a file", newListNode, []string{"--source", "file:/node.tar"}, 1, "only a registry has a list of images; want oci:REGISTRY/NAME"},
		{"no such repository", newListNode, []string{"--source", "oci:" + other}, 1, "listing the images of oci:" + other},
		{"another version", func(t *testing.T) string {
			dir := newNode(t)
			release(t, dir, "devel")
			return dir
		}, []string{"--source", repository}, 1, `the version of this node, "devel", is not a semantic version such as v1.2.3; --all lists all`},
		{"an incomplete release", newNode, []string{"--source", repository}, 1, "its /etc/kairos-release lacks KAIROS_FLAVOR_RELEASE, KAIROS_VARIANT, KAIROS_ARCH, KAIROS_MODEL"},
		{"an unknown Kubernetes", func(t *testing.T) string {
			dir := newListNode(t)
			put(t, dir, layout.ImageKubernetes, "v1.34.1\n")
			return dir
		}, []string{"--source", repository}, 1, `/usr/lib/kairos/kubernetes of the image: "v1.34.1" is no version of k3s or k0s`},
		{"an argument", newListNode, []string{repository}, 2, "takes no arguments"},
		{"a bad mirror", newListNode, []string{"--mirror", "here"}, 2, "want HOST=URL"},
		{"a wrong flag", newListNode, []string{"--al"}, 2, "did you mean --all?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := call(t, tt.dir(t), "", append([]string{"upgrade", "list"}, tt.args...)...)
			if got.code != tt.code || got.stdout != "" || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("got %+v, want %d, %q", got, tt.code, tt.stderr)
			}
		})
	}
}

func newListNode(t *testing.T) string {
	dir := newNode(t)
	release(t, dir, "v1.10.0")
	return dir
}

// TestUpgradeStaysAVerb: upgrade itself does what it did before it had a verb below it.
func TestUpgradeStaysAVerb(t *testing.T) {
	for _, args := range [][]string{{"upgrade", "--source", "dir:/x"}, {"upgrade", "-source=dir:/x"}, {"upgrade", "--source", "list"}} {
		if got := call(t, newNode(t), "", args...); got.code != 1 || !strings.Contains(got.stderr, "not started by the kairos initramfs") {
			t.Errorf("%q: got %+v", args, got)
		}
	}
}
