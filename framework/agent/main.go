// SPDX-License-Identifier: Apache-2.0

// kairos-agent is the program of a node: it applies the cloud-config at every
// boot and runs its stages, says when the node is ready, keeps or leaves a slot on trial by its
// health, upgrades the slot that does not run, chooses what the boot loader
// starts next, and shows how the node is. It changes nothing else.
//
//	kairos-agent boot | datasource | ready | settle | trial | health [--json]
//	kairos-agent status [--json] | version | print-schema
//	kairos-agent validate [--compat] [FILE|-|URL]...
//	kairos-agent config get KEY | explain [KEY] [FILE]... [--json]
//	kairos-agent run-stage NAME [--dry-run] [--analyze] [--json]
//	kairos-agent report [--all] [--json]
//	kairos-agent upgrade --source SOURCE [--recovery] [--reboot] [--force] [--json]
//	kairos-agent bootentry [--select active|passive|recovery|none] [--json]
//	kairos-agent rollback [--reboot]
//	kairos-agent reset [--reset-oem] [--reboot] [--yes] [--json]
//	kairos-agent config get KEY | explain [KEY] [FILE]... [--json] | print-schema
//
// Exit status: 0, 1 when something failed or a config has an error, 2 for a
// wrong command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/kairos-build/kairos-build/framework/agent/health"
	"github.com/kairos-build/kairos-build/framework/agent/tree"
	"github.com/kairos-build/kairos-build/framework/bootstate"
	"github.com/kairos-build/kairos-build/framework/datasource"
	"github.com/kairos-build/kairos-build/framework/nearest"
	"github.com/kairos-build/kairos-build/framework/stages"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "devel"

// verb is one command. Its flags are defined on the flag set before run.
type verb struct {
	name, args, about string
	// service says that units run it: its log goes to the journal, by stdout.
	// What a person runs keeps stdout for the result.
	service bool
	setup   func(f *flag.FlagSet, p *program) func(ctx context.Context, args []string) error
}

var verbs = []verb{
	bootVerb, datasourceVerb, readyVerb, settleVerb, trialVerb, healthVerb, statusVerb,
	runStageVerb, reportVerb,
	upgradeVerb, rollbackVerb, bootentryVerb, resetVerb, validateVerb, configVerb, schemaVerb, versionVerb,
}

// program is what every verb works with.
type program struct {
	root           tree.Root
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	env            []string // of the commands of stages, from the config

	// What only a running node has. In tests they are stand-ins, or nil.
	openStore func(*bootstate.State) (store, error) // nil: there is no boot environment
	probe     health.Prober                         // nil: health.Probe
	restart   func(ctx context.Context) error       // nil: nothing restarts
	system    stages.System                         // nil: stages.Node
	fetcher   stages.Fetcher                        // nil: stages.Web
	// adjustSources changes where datasources look; nil: it stays.
	adjustSources func(*datasource.Machine)
}

// errQuiet ends the program with status 1 after everything was said.
var errQuiet = errors.New("said already")

// errUsage ends the program with status 2.
var errUsage = errors.New("wrong command line")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{
		root: tree.Root{Dir: "/"}, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		log:       slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
		openStore: openStore, restart: restartNode,
	}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// withoutTime leaves the time to the journal.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// run does what args say and returns the exit status.
func (p *program) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		p.usage(p.stderr)
		return 2
	}
	name := strings.TrimPrefix(strings.TrimPrefix(args[0], "-"), "-")
	if name == "help" || name == "h" {
		p.usage(p.stdout)
		return 0
	}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == name })
	if i < 0 {
		fmt.Fprintf(p.stderr, "kairos-agent: unknown command %q%s\n", args[0], didYouMean(name))
		p.usage(p.stderr)
		return 2
	}
	if !verbs[i].service {
		p.log = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	}
	return p.exit(verbs[i].name, p.call(ctx, verbs[i], args[1:]))
}

func (p *program) call(ctx context.Context, v verb, args []string) error {
	f := flag.NewFlagSet("kairos-agent "+v.name, flag.ContinueOnError)
	f.SetOutput(p.stderr)
	f.Usage = func() {
		fmt.Fprintf(p.stderr, "usage: kairos-agent %s %s\n%s\n", v.name, v.args, v.about)
		f.PrintDefaults()
	}
	f.Func("root", "work on the system below `DIR`, not on /", func(dir string) error {
		p.root.Dir = dir
		return nil
	})
	run := v.setup(f, p)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return errUsage
	}
	return run(ctx, f.Args())
}

func (p *program) exit(name string, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return 2
	case !errors.Is(err, errQuiet):
		fmt.Fprintf(p.stderr, "kairos-agent %s: %v\n", name, err)
	}
	return 1
}

// noArgs refuses arguments.
func (p *program) noArgs(name string, args []string) error {
	if len(args) == 0 {
		return nil
	}
	fmt.Fprintf(p.stderr, "kairos-agent %s takes no arguments, got %q\n", name, args)
	return errUsage
}

func (p *program) usage(w io.Writer) {
	fmt.Fprintln(w, "usage: kairos-agent COMMAND [flags]")
	for _, v := range verbs {
		fmt.Fprintf(w, "  %-12s %-36s %s\n", v.name, v.args, v.about)
	}
}

func didYouMean(name string) string {
	names := make([]string, len(verbs))
	for i, v := range verbs {
		names[i] = v.name
	}
	if near := nearest.Word(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// onNode tells whether we work on the running system.
func (p *program) onNode() bool { return p.root.Dir == "/" }
