// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// flavors builds three flavors by one command, by turns with the slowest of them alone.
func (b *bench) flavors(ctx context.Context) ([]Result, error) {
	site := filepath.Join(b.temp, "mysite")
	if err := os.RemoveAll(site); err != nil {
		return nil, err
	}
	if _, err := b.kairos(ctx, b.program, filepath.Join(b.temp, "state"), "init", site); err != nil {
		return nil, err
	}
	three := []string{"debian-12", "debian-13", site}
	slowest, longest := "", 0.0
	for _, one := range three {
		j, err := b.severalFlavors(ctx, one)
		if err != nil {
			return nil, err
		}
		b.say("   %s alone: %s s", one, figure(j.seconds))
		if j.seconds > longest {
			slowest, longest = one, j.seconds
		}
	}
	r := Result{What: "cold `flavor debian-12 debian-13 ./mysite`, side by side", Unit: "s", RivalName: "the slowest alone", Goal: 1.3, Note: flavorsNote + filepath.Base(slowest) + "."}
	err := b.byTurns(&r, nil,
		func() (job, error) { return b.severalFlavors(ctx, three...) },
		func() (job, error) { return b.severalFlavors(ctx, slowest) })
	return []Result{r}, err
}

const flavorsNote = "A new empty state folder and output folder each time. mysite is what `kairos-build init` writes: debian-13 with a package, files and a command more. The slowest, of one build of each: "

// severalFlavors builds flavors from nothing. Each has a folder of its own below the output.
func (b *bench) severalFlavors(ctx context.Context, names ...string) (j job, err error) {
	dir, err := os.MkdirTemp(b.temp, "several-")
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	args := append([]string{"flavor", "--output", filepath.Join(dir, "out")}, names...)
	return b.kairos(ctx, b.program, filepath.Join(dir, "state"), append(args, b.mirrors.flags()...)...)
}

// matrix builds two Debians with three variants of Kubernetes each by one command, by turns with
// the slower Debian alone.
func (b *bench) matrix(ctx context.Context) ([]Result, error) {
	slower, longest := "", 0.0
	for _, name := range []string{"debian-12", "debian-13"} {
		j, err := b.releaseOf(ctx, matrixText(name, "none"))
		if err != nil {
			return nil, err
		}
		b.say("   %s alone: %s s", name, figure(j.seconds))
		if j.seconds > longest {
			slower, longest = name, j.seconds
		}
	}
	six := matrixText("debian-12, debian-13", "none, k3s v1.36, k0s v1.36")
	r := Result{What: "six images, Debian 12 and 13 without Kubernetes, with k3s and with k0s, cold", Unit: "s", RivalName: "the slower Debian alone", Goal: 1.5, Note: matrixNote + slower + "."}
	cpu := Result{What: "CPU time of that", Unit: "s", RivalName: r.RivalName, Note: "The same runs, with the processes that have ended: user and system time."}
	measure := func(s *Series, text string) (job, error) {
		j, err := b.releaseOf(ctx, text)
		*s = append(*s, j.cpu)
		return j, err
	}
	err := b.byTurns(&r, nil,
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
