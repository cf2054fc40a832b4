// SPDX-License-Identifier: Apache-2.0

// Package simulate finds what cloud-configs would change on a new node of an image,
// without a boot, without root and without a mount. It does not know what a key of a
// cloud-config does: the code of the node knows it, and runs in a dry run over a copy
// of the image's tree, in the order of a boot. Package simulate adds what a dry run
// cannot find: which of the units, modules and programs in the config the image lacks,
// and which facts had to be assumed.
//
// The copy has every path of the image, but contents only for files that a node can
// change or that the simulation reads. A ledger holds the owners and modes.
package simulate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/apply"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/sshkeys"
	"github.com/kairos-build/kairos-build/framework/machine/stages"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// A Source is one of the user's cloud-configs, which passed validation.
type Source struct {
	File config.File
	Data []byte
}

// Options say what is simulated.
type Options struct {
	// Image is the root file system of the image. The methods UID and GID of a
	// fs.FileInfo, as in go-erofs, give the owner; without them it is root.
	Image fs.FS
	// Configs are for /oem, in this order.
	Configs []Source
	Arch    string // of the image, as Go names it
	// MachineID is the machine id for templates; default DefaultMachineID.
	MachineID string
}

// DefaultMachineID stands for the machine id that a node gets at its first boot.
const DefaultMachineID = "0123456789abcdef0123456789abcdef"

// Run simulates a boot. Its error is about the simulation; the result has the failures
// that the node would report.
func Run(ctx context.Context, o Options) (_ *Result, err error) {
	if o.MachineID == "" {
		o.MachineID = DefaultMachineID
	}
	b, err := unpack(ctx, o.Image)
	if err != nil {
		return nil, fmt.Errorf("copying the image's tree: %w", err)
	}
	defer func() { err = errors.Join(err, b.remove()) }()
	s := &simulation{Options: o, base: b}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("preparing the simulated node: %w", err)
	}
	return s.boot(ctx), ctx.Err()
}

// A simulation is one boot of one node.
type simulation struct {
	Options
	base   *base
	root   tree.Root // dry
	files  []config.File
	config *config.Config // merged
}

// prepare turns the copy into the tree of a node before its first boot, and reads the
// config as the node does.
func (s *simulation) prepare() error {
	if err := s.base.put("/etc/machine-id", []byte(s.MachineID+"\n"), 0o444); err != nil {
		return err
	}
	for i, c := range s.Configs {
		if err := s.base.put(fmt.Sprintf("%s/%02d_custom.yaml", layout.MountOEM, 90+i), c.Data, 0o600); err != nil {
			return err
		}
	}
	s.readConfig()
	for _, name := range s.parameters() {
		if err := s.base.put(stages.ParameterPath(name), nil, 0o644); err != nil {
			return err
		}
	}
	s.root = s.base.root
	s.root.Dry = new(tree.DryRun)
	return nil
}

// readConfig merges the cloud-configs as the node does. The user's keep their names on
// this machine, so that the user can find the positions in messages.
func (s *simulation) readConfig() {
	s.files = config.Load(s.Image, layout.ConfigDirs()[:1]).Files
	for _, c := range s.Configs {
		s.files = append(s.files, c.File)
	}
	var used []*config.Config
	for _, f := range s.files {
		if f.Used() {
			used = append(used, f.Config)
		}
	}
	s.config = config.Merge(used...)
}

// parameters are the kernel parameters that steps set. Only a running kernel knows
// whether it has them.
func (s *simulation) parameters() []string {
	var names []string
	for _, steps := range s.config.Stages {
		for _, step := range steps {
			for _, p := range step.Sysctl {
				names = append(names, p.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// The stages of a boot, by whether they come before or after the keys outside
// of stages: kairos-boot.service applies those, then runs its stages. After the second
// of afterConfig, the stage boot, comes kairos-kubernetes.service.
var (
	beforeConfig = append(slices.Clone(config.BootStages()[:2]), config.BootcmdStage)
	afterConfig  = config.BootStages()[2:]
)

// boot applies the config and runs the stages, in the order of a boot.
func (s *simulation) boot(ctx context.Context) *Result {
	r := &Result{Version: Version, Files: s.fileReports(), Stages: []Stage{}}
	before := s.run(ctx, r, beforeConfig)
	asked := s.config.Hostname
	failed := stages.FillHostname(s.config, s.facts())
	r.Items = slices.Concat([]report.Item{}, s.machine().Apply(ctx, s.config))
	if failed != nil {
		r.Items = slices.Insert(r.Items, 0, *failed)
	}
	r.Assumed = s.assumed(asked)
	after := s.run(ctx, r, afterConfig[:2])
	doubts := s.kubernetes(ctx, r)
	after = append(after, s.run(ctx, r, afterConfig[2:])...)
	r.NotRun = s.notRun()
	r.Changes, r.Kernel = s.changes(), s.kernel()
	r.Findings = slices.Concat([]Finding{}, s.findings(r, slices.Concat(before, after)), doubts)
	r.OK = r.good()
	return r
}

// run runs stages and adds them to the result.
func (s *simulation) run(ctx context.Context, r *Result, names []string) []ran {
	var did []ran
	e := s.engine()
	for _, plan := range stages.Plans(s.config, names...) {
		done := e.Run(ctx, plan)
		did = append(did, s.pair(plan, done)...)
		r.Stages = append(r.Stages, s.stage(plan, done))
	}
	return did
}

func (s *simulation) fileReports() []report.File {
	out := []report.File{}
	for _, f := range s.files {
		problems := f.Problems
		if problems == nil {
			problems = config.Problems{}
		}
		out = append(out, report.File{Name: f.Name, Used: f.Used(), Problems: problems})
	}
	return out
}

func (s *simulation) machine() *apply.Machine {
	return &apply.Machine{Root: s.root, Log: slog.New(slog.DiscardHandler), Random: rand.Reader, Keys: &sshkeys.Store{Root: s.root}}
}

func (s *simulation) engine() *stages.Engine {
	return &stages.Engine{
		Root: s.root, Log: slog.New(slog.DiscardHandler), Facts: s.facts, Machine: s.machine,
		System: nothing{}, Fetcher: nothing{}, UnitState: s.unitState, Early: true,
	}
}

// facts are the facts of a new node.
func (s *simulation) facts() template.Facts {
	f := stages.ReadFacts(s.root)
	f.Slot, f.Mode = string(layout.SlotA), string(layout.ModeActive)
	if s.Arch != "" {
		f.Arch = s.Arch
	}
	f.Hardware = func() map[string]any { return machine("example") }
	return f
}

// nothing is a system that runs and fetches nothing. A dry run does not call it; a call
// is a bug and fails visibly.
type nothing struct{}

func (nothing) Run(_ context.Context, words ...string) (string, error) {
	return "", fmt.Errorf("BUG: a simulation was to run %s", words[0])
}

func (nothing) Fetch(context.Context, string, func(stages.Content) error) error {
	return errors.New("BUG: a simulation was to download a file")
}

// notRun are the stages with steps that no boot runs.
func (s *simulation) notRun() []string {
	boot := map[string]bool{}
	for _, plan := range stages.Plans(s.config, slices.Concat(beforeConfig, afterConfig)...) {
		boot[plan.Stage] = true
	}
	var out []string
	for name, steps := range s.config.Stages {
		if !boot[name] && len(steps) > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
