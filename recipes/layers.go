// SPDX-License-Identifier: Apache-2.0

package recipes

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/moby/buildkit/client/llb"

	"github.com/kairos-build/kairos-build/framework/layout"
)

// Names of the inputs. The factory fills them by these names.
const (
	InputBase       = "base"            // the root as bootstrapped: unpacked, not configured
	InputPackages   = "packages"        // /: packages of the flavor and the model, with their batches
	InputTools      = "tools"           // /: packages for the tool root
	InputKernel     = "kernel"          // /: kernel packages
	InputBootloader = "bootloader"      // /: boot loader packages
	InputAssemble   = "kairos-assemble" // /kairos-assemble
	InputInit       = "init"            // /init
	InputFramework  = "framework"       // files that are copied into the root as they are
	InputAgent      = "kairos-agent"    // /usr/bin/kairos-agent
	InputRelease    = "release"         // Recipe.ReleaseFiles
	InputKubernetes = "kubernetes"      // with Kubernetes: its program, units and links
	InputUsers      = "users"           // with k0s: SysusersK0s
	// InputSitePackages and InputSite: see addSite.
)

// Inputs are the states that a recipe starts from, by name. Each is identified
// by the digest of its content.
type Inputs map[string]llb.State

// A Layer is one part of a recipe: the result of a step of kairos-assemble, or
// several layers joined.
type Layer struct {
	Name    string
	Title   string   // what progress shows
	Root    Source   // the root that the step runs in
	Mounts  []Mount  // what else it reads
	Scratch []string // folders that it fills and that are thrown away
	Command []string // verb and arguments of kairos-assemble
	Out     string   // the layer is the content of this folder, empty before the step; if unset, it is the whole root
	Join    []Source // if set, the layer is these sources joined, the lowest first
}

// A Mount is a source and the folder where a step reads it.
type Mount struct {
	Path string
	From Source
}

// A Source is a layer that another is made from, an input, or an empty root. One field is set.
type Source struct {
	Layer, Input string
	Empty        bool
}

func layer(name string) Source { return Source{Layer: name} }
func input(name string) Source { return Source{Input: name} }

// A family has the layers that differ between package managers.
type family struct {
	base       Layer // the root with its essential packages configured
	packages   Layer // base with the packages of flavor and model installed
	tools      Layer // the root that the following steps run in; not shipped
	kernel     Layer // layout.ImageKernel and the indexed modules
	bootloader Layer // layout.ImageBoot
	// finalise enables the framework's services, and adds to the package database
	// the packages that were unpacked without the package manager.
	finalise Layer
}

// families are the package managers, by the names that flavors use.
func families() map[string]func(Choice, Lock) family {
	return map[string]func(Choice, Lock) family{"apt": apt, "dnf": rpm, "zypper": rpm}
}

// layers lists what an image is made of. The last is the image.
func layers(f family, c Choice, chosen []part) []Layer {
	list := c.addSite(fixedLayers(f))
	for _, p := range chosen {
		list = p.add(list)
	}
	return list
}

// fixedLayers are the layers of every image.
func fixedLayers(f family) []Layer {
	return []Layer{
		f.base,
		f.packages,
		f.tools,
		f.kernel,
		{
			Name: "initramfs", Title: "initramfs: pack modules and /init",
			Root: layer("tools"), Mounts: []Mount{{"/kernel", layer("kernel")}, {"/init-program", input(InputInit)}}, Out: "/out",
			Command: []string{"initramfs", "--root", "/kernel", "--init", "/init-program/init", "--out", "/out" + layout.ImageInitrd},
		},
		f.bootloader,
		{
			Name: "root", Title: "join the layers",
			Join: []Source{layer("packages"), layer("kernel"), layer("initramfs"), layer("bootloader"), input(InputFramework)},
		},
		f.finalise,
		{
			// Only the commands of a site may use the agent: without them, a new agent runs no
			// step again.
			Name: "system", Title: "add the agent",
			Join: []Source{layer("finalise"), input(InputAgent)},
		},
		{
			Name: "image", Title: "add the release",
			Join: []Source{layer("system"), input(InputRelease)},
		},
	}
}

// Titles are the titles of the layers, in order.
func (r Recipe) Titles() []string {
	var titles []string
	for _, l := range r.Layers {
		titles = append(titles, l.Title)
	}
	return titles
}

// State is the graph of the image. The error names every input that is missing.
func (r Recipe) State(in Inputs) (llb.State, error) {
	g := &graph{Recipe: r, in: in, made: Inputs{}}
	var top llb.State
	for _, l := range r.Layers {
		if len(l.Join) > 0 {
			top = g.join(l)
		} else {
			top = g.run(l)
		}
		g.made[l.Name] = top
	}
	return top, errors.Join(g.errs...)
}

// A graph is a recipe whose layers are being made.
type graph struct {
	Recipe
	in, made Inputs
	errs     []error
}

func (g *graph) state(layer string, s Source) llb.State {
	if s.Empty {
		return g.emptyRoot()
	}
	states, name := g.in, s.Input
	if s.Layer != "" {
		states, name = g.made, s.Layer
	}
	state, ok := states[name]
	if !ok {
		g.errs = append(g.errs, fmt.Errorf("BUG: %s: layer %s is made from %s%s, which is not there", g.name(), layer, s.Layer, s.Input))
	}
	return state
}

// emptyRoot has the folders over which a step finds its mounts. Without them the runtime makes
// them, with the time of that moment, and no step can give them another: it sees what is mounted
// there.
func (g *graph) emptyRoot() llb.State {
	made := llb.WithCreatedTime(g.Epoch)
	return llb.Scratch().File(llb.Mkdir("/dev", 0o755, made).Mkdir("/proc", 0o755, made).Mkdir("/sys", 0o755, made), llb.WithCustomName("base: an empty root"))
}

// name says in messages what is made.
func (r Recipe) name() string {
	if r.Flavor == nil {
		return "the choice of packages"
	}
	return "flavor " + r.Flavor.Name
}

func (g *graph) join(l Layer) llb.State {
	var states []llb.State
	for _, s := range l.Join {
		states = append(states, g.state(l.Name, s))
	}
	return llb.Merge(states, llb.WithCustomName(l.Title))
}

// run is a step that calls kairos-assemble, without network.
func (g *graph) run(l Layer) llb.State {
	epoch := strconv.FormatInt(g.Epoch.Unix(), 10)
	exec := g.state(l.Name, l.Root).Run(
		llb.Args(slices.Concat([]string{"/kairos-build/kairos-assemble", l.Command[0], "--epoch", epoch}, l.Command[1:])),
		llb.Network(llb.NetModeNone),
		llb.AddEnv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
		llb.AddEnv("SOURCE_DATE_EPOCH", epoch),
		llb.WithCustomName(l.Title),
	)
	exec.AddMount("/kairos-build", g.state(l.Name, input(InputAssemble)), llb.Readonly)
	for _, m := range l.Mounts {
		exec.AddMount(m.Path, g.state(l.Name, m.From), llb.Readonly)
	}
	for _, dir := range l.Scratch {
		exec.AddMount(dir, llb.Scratch(), llb.ForceNoOutput)
	}
	if l.Out == "" {
		return exec.Root()
	}
	return exec.AddMount(l.Out, llb.Scratch())
}
