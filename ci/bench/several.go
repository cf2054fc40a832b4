// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// flavors builds three flavors by one command, by turns with the slowest of them alone.
func (b *bench) flavors(ctx context.Context) ([]Result, error) {
	site := filepath.Join(b.temp, "mysite")
	if err := os.RemoveAll(site); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, b.program, "init", site).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("kairos-build init: %w: %s", err, out)
	}
	three := []string{"debian-12", "debian-13", site}
	slowest, err := b.slowest(three, func(one string) (job, error) { return b.severalFlavors(ctx, one) })
	if err != nil {
		return nil, err
	}
	r := Result{What: "cold `flavor debian-12 debian-13 ./mysite`, side by side", Unit: "s", RivalName: "the slowest alone", Goal: 1.3, Note: flavorsNote + filepath.Base(slowest) + "."}
	err = b.byTurns(&r, nil,
		func() (job, error) { return b.severalFlavors(ctx, three...) },
		func() (job, error) { return b.severalFlavors(ctx, slowest) })
	return []Result{r}, err
}

// slowest builds each once, and names the one that took longest.
func (b *bench) slowest(names []string, build func(name string) (job, error)) (slowest string, _ error) {
	longest := 0.0
	for _, name := range names {
		j, err := build(name)
		if err != nil {
			return "", err
		}
		b.say("   %s alone: %s s", name, figure(j.seconds))
		if j.seconds > longest {
			slowest, longest = name, j.seconds
		}
	}
	return slowest, nil
}

const flavorsNote = "A new empty state folder and output folder each time. mysite is what `kairos-build init` writes: debian-13 with a package, files and a command more. The slowest, of one build of each: "

// severalFlavors builds flavors from nothing. Each has a folder of its own below the output.
func (b *bench) severalFlavors(ctx context.Context, names ...string) (j job, err error) {
	dir, err := os.MkdirTemp(b.temp, "several-")
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, b.discard(dir)) }()
	args := append([]string{"flavor", "--output", filepath.Join(dir, "out")}, names...)
	return b.kairos(ctx, b.program, filepath.Join(dir, "state"), append(args, b.mirrors.flags()...)...)
}

// matrix builds two Debians with three variants of Kubernetes each by one command, by turns with
// the slower Debian alone.
func (b *bench) matrix(ctx context.Context) ([]Result, error) {
	slower, err := b.slowest([]string{"debian-12", "debian-13"}, func(name string) (job, error) { return b.releaseOf(ctx, matrixText(name, "none")) })
	if err != nil {
		return nil, err
	}
	six := matrixText("debian-12, debian-13", "none, k3s v1.36, k0s v1.36")
	r := Result{What: "six images, Debian 12 and 13 without Kubernetes, with k3s and with k0s, cold", Unit: "s", RivalName: "the slower Debian alone", Goal: 1.5, Note: matrixNote + slower + "."}
	cpu := Result{What: "CPU time of that", Unit: "s", RivalName: r.RivalName, Note: "The same runs, with the processes that have ended: user and system time."}
	measure := func(s *Series, text string) (job, error) {
		j, err := b.releaseOf(ctx, text)
		*s = append(*s, j.cpu)
		return j, err
	}
	err = b.byTurns(&r, nil,
		func() (job, error) { return measure(&cpu.Ours, six) },
		func() (job, error) { return measure(&cpu.Rival, matrixText(slower, "none")) })
	if err != nil {
		return []Result{r}, err
	}
	return []Result{r, cpu}, nil
}

const matrixNote = "`kairos-build release --until build` of a matrix, with an empty state folder and output folder each time. k3s and k0s are the tests' own, of 2 MB. " +
	"The slower, of one build of each: "

func matrixText(flavors, kubernetes string) string {
	return fmt.Sprintf("flavors: [%s]\narchitectures: [amd64]\nmodels: [generic]\nkubernetes: [%s]\n", flavors, kubernetes)
}

// releaseOf builds the images of a matrix from nothing.
func (b *bench) releaseOf(ctx context.Context, matrix string) (j job, err error) {
	dir, err := os.MkdirTemp(b.temp, "matrix-")
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "matrix.yaml")
	if err := os.WriteFile(file, []byte(matrix), 0o644); err != nil {
		return j, err
	}
	args := append([]string{"release", file, "--until", "build", "--no-lock", "--output", filepath.Join(dir, "out")}, b.mirrors.flags()...)
	for _, kind := range []string{"k3s", "k0s"} {
		if strings.Contains(matrix, kind) {
			args = append(args, "--mirror", kind+"=file://"+b.hollow)
		}
	}
	return b.kairos(ctx, b.program, filepath.Join(dir, "state"), args...)
}
