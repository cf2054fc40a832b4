// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A warmDir is a state folder and an output folder after one build.
type warmDir struct{ state, out string }

// settle makes the warm folder, or restores it to the build of the unchanged program
// without a cloud-config.
func (b *bench) settle(ctx context.Context) (*warmDir, error) {
	w := b.warm
	if w == nil {
		w = &warmDir{filepath.Join(b.temp, "warm", "state"), filepath.Join(b.temp, "warm", "out")}
		b.say("   building once, for what follows")
	}
	if _, err := b.build(ctx, b.program, w.state, w.out); err != nil {
		return nil, err
	}
	b.warm = w
	return w, nil
}

// again builds with nothing changed.
func (b *bench) again(ctx context.Context) ([]Result, error) {
	w, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	r := Result{What: "nothing changed, run again", Unit: "s", Goal: 0.3, Note: "The same command with the same folders; the disk's digest is seen to be the same. It asks the archive each time whether its signed indexes are new: a round trip over the network is in the figure."}
	var last string
	for range b.n {
		x, err := b.rebuild(ctx, w, b.program)
		if err != nil {
			return nil, err
		}
		if x.changed {
			return nil, errors.New("the disk changed although nothing else did")
		}
		r.Ours = append(r.Ours, x.seconds)
		last = x.profile
	}
	r.Note += last
	return []Result{r}, nil
}

// A rebuilt is a build in the warm folder.
type rebuilt struct {
	seconds float64
	changed bool // the disk has other contents
	profile string
}

// rebuild builds in the warm folder.
func (b *bench) rebuild(ctx context.Context, w *warmDir, program string, more ...string) (rebuilt, error) {
	before, err := readMade(w.out)
	if err != nil {
		return rebuilt{}, err
	}
	j, err := b.build(ctx, program, w.state, w.out, more...)
	if err != nil {
		return rebuilt{}, err
	}
	after, err := readMade(w.out)
	if err != nil {
		return rebuilt{}, err
	}
	return rebuilt{j.seconds, before.Disks[0].Content != after.Disks[0].Content, profile(after.Steps)}, nil
}

// agentChanged builds with another agent each time.
func (b *bench) agentChanged(ctx context.Context) ([]Result, error) {
	w, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	r := Result{What: "agent changed (already compiled) to new `disk.raw`", Unit: "s", Goal: 4,
		Note: "Each time a kairos-build with another agent inside: it differs in its Go build ID, as after a change that is small and compiled. The disk's digest is seen to change."}
	var last string
	for i := range b.n {
		program := filepath.Join(b.temp, "kairos-build")
		if err := b.changeAgent(program, i); err != nil {
			return nil, err
		}
		x, err := b.rebuild(ctx, w, program)
		if err != nil {
			return nil, err
		}
		if !x.changed {
			return nil, errors.New("the disk is the same although the agent is not")
		}
		r.Ours = append(r.Ours, x.seconds)
		last = x.profile
	}
	r.Note += last
	return []Result{r}, nil
}

// changeAgent writes a kairos-build with the i-th changed agent. It replaces the bytes
// where go:embed put them, so nothing is compiled, and the source tree stays unchanged.
func (b *bench) changeAgent(path string, i int) error {
	program, err := os.ReadFile(b.program)
	if err != nil {
		return err
	}
	agent, err := os.ReadFile(b.agent)
	if err != nil {
		return fmt.Errorf("reading the agent: %w; run `make build`", err)
	}
	changed, err := withAgent(program, agent, i)
	if err != nil {
		return fmt.Errorf("changing the agent inside %s: %w", b.program, err)
	}
	if err := os.RemoveAll(path); err != nil { // no rewrite in place: the program may still run
		return err
	}
	return os.WriteFile(path, changed, 0o755)
}

// withAgent changes the agent's Go build ID, which nothing reads at run time.
func withAgent(program, agent []byte, i int) ([]byte, error) {
	at := bytes.Index(program, agent)
	if at < 0 {
		return nil, errors.New("it has another agent than that of the payload: run `make build`")
	}
	offset, size, err := buildID(agent)
	if err != nil {
		return nil, err
	}
	changed := bytes.Clone(program)
	copy(changed[at+offset:at+offset+size], fmt.Sprintf("bench-%08d", i))
	return changed, nil
}

// configChanged builds with another cloud-config each time.
func (b *bench) configChanged(ctx context.Context) ([]Result, error) {
	w, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	r := Result{What: "only `--cloud-config` changed", Unit: "s", Goal: 2, Note: "Another host name each time. The disk's digest is seen to change."}
	var last string
	config := filepath.Join(b.temp, "site.yaml")
	for i := range b.n {
		if err := os.WriteFile(config, fmt.Appendf(nil, "#cloud-config\nhostname: bench-%d\n", i), 0o644); err != nil {
			return nil, err
		}
		x, err := b.rebuild(ctx, w, b.program, "--cloud-config", config)
		if err != nil {
			return nil, err
		}
		if !x.changed {
			return nil, errors.New("the disk is the same although its cloud-config is not")
		}
		r.Ours = append(r.Ours, x.seconds)
		last = x.profile
	}
	r.Note += last
	return []Result{r}, nil
}

// kubernetesChanged builds with another release of k3s each time.
func (b *bench) kubernetesChanged(ctx context.Context) ([]Result, error) {
	w, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	r := Result{What: "another release of k3s to new `disk.raw`", Unit: "s", Goal: 8,
		Note: "From a mirror in a folder, so without a download. The releases are the stand-ins of [Kubernetes in tests](kubernetes-tests.md), with a real Kubernetes inside, of 89 MB each. The disk's digest is seen to change."}
	var last string
	for i := range b.n + 1 {
		x, err := b.rebuild(ctx, w, b.program, "--mirror", "k3s=file://"+b.releases, "--k3s", fmt.Sprintf("v1.36.%d+k3s1", 100+i))
		if err != nil {
			return nil, err
		}
		if !x.changed {
			return nil, errors.New("the disk is the same although its k3s is not")
		}
		if last = x.profile; i > 0 { // the first adds k3s
			r.Ours = append(r.Ours, x.seconds)
		}
	}
	r.Note += last
	return []Result{r}, nil
}

// diskAlone makes a disk from the image in the warm folder.
func (b *bench) diskAlone(ctx context.Context) ([]Result, error) {
	w, err := b.settle(ctx)
	if err != nil {
		return nil, err
	}
	image := filepath.Join(w.out, "image")
	took := Result{What: "`kairos-build disk IMAGE` alone", Unit: "s", Note: "An OCI layout in a folder to a new file, with an empty state folder."}
	peak := Result{What: "peak memory of that", Unit: "MiB", Note: "Sum of PSS, as above."}
	for range b.n {
		dir, err := os.MkdirTemp(b.temp, "disk-")
		if err != nil {
			return nil, err
		}
		j, err := b.kairos(ctx, b.program, filepath.Join(dir, "state"), "disk", image, "--output", filepath.Join(dir, "disk.raw"))
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return nil, err
		}
		took.Ours = append(took.Ours, j.seconds)
		peak.Ours = append(peak.Ours, mib(j.peak.PSS))
	}
	return []Result{took, peak}, nil
}
