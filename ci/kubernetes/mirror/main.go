// SPDX-License-Identifier: Apache-2.0

// Mirror makes a folder with releases of a stand-in, laid out as the publishers lay
// out theirs, for --mirror k3s=file://FOLDER:
//
//	mirror -o FOLDER -shell FILE -programs FOLDER -container FILE VERSION[,etcd=VERSION][,without=FLAG]…
//
// The folder of programs has hollow, or kubernetes with containerd and the others.
// Each version gets VERSION/ with the program, the air-gap images and the checksums; the
// channels are made from the versions, of which the last is latest and stable.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/ci/kubernetes/bundle"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mirror:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	set := flag.NewFlagSet("mirror", flag.ContinueOnError)
	m := mirror{}
	set.StringVar(&m.folder, "o", "", "the folder to make")
	set.StringVar(&m.shell, "shell", "", "the shell")
	set.StringVar(&m.programs, "programs", "", "folder of the programs")
	set.StringVar(&m.container, "container", "", "the program of the images")
	if err := set.Parse(args); err != nil {
		return err
	}
	if m.folder == "" || m.shell == "" || m.programs == "" || m.container == "" || set.NArg() == 0 {
		return fmt.Errorf("usage: mirror -o FOLDER -shell FILE -programs FOLDER -container FILE VERSION[,etcd=VERSION][,without=FLAG]…")
	}
	for _, text := range set.Args() {
		r, err := parse(text)
		if err != nil {
			return err
		}
		if err := m.add(r); err != nil {
			return fmt.Errorf("adding %s: %w", r.Version, err)
		}
	}
	return m.writeChannels()
}

// parse reads VERSION[,etcd=VERSION][,without=FLAG]….
func parse(text string) (bundle.Release, error) {
	parts := strings.Split(text, ",")
	r := bundle.Release{Version: parts[0]}
	if distribution(r.Version) == "" {
		return r, fmt.Errorf("%q is no version: want one such as v1.36.3+k3s1 or v1.36.3+k0s.0", r.Version)
	}
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "etcd":
			r.Etcd = value
		case "without":
			r.WithoutFlags = append(r.WithoutFlags, value)
		default:
			return r, fmt.Errorf("%q in %q: want etcd=VERSION or without=FLAG", part, text)
		}
	}
	return r, nil
}

func distribution(version string) string {
	_, suffix, _ := strings.Cut(version, "+")
	for _, name := range []string{"k3s", "k0s"} {
		if strings.HasPrefix(version, "v1.") && strings.HasPrefix(suffix, name) {
			return name
		}
	}
	return ""
}

// programsIn finds the programs of a folder and gives Kubernetes' its names.
func programsIn(folder string) (map[string]string, map[string]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, nil, err
	}
	programs, links := map[string]string{}, map[string]string{}
	for _, entry := range entries {
		programs[entry.Name()] = filepath.Join(folder, entry.Name())
	}
	multiple := []string{"etcd", "etcd-save", "etcd-restore", "kine", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"}
	name := "kubernetes"
	if programs["hollow"] != "" {
		name = "hollow"
		multiple = append(multiple, "containerd", "ctr", "crictl")
	} else if programs[name] == "" {
		return nil, nil, fmt.Errorf("there is neither hollow nor kubernetes in %s: type make kubernetes", folder)
	}
	for _, link := range multiple {
		links[link] = name
	}
	return programs, links, nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
