// SPDX-License-Identifier: Apache-2.0

// Package commandline gives all our programs the same help, the same messages about a
// wrong command line and the same exit statuses. It knows no verb of any program.
//
// The exit status is 0 for success, 1 for a failure, and 2 for a wrong command
// line or wrong input. A verb that compares may end with 3: see ErrDiffers.
package commandline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/framework/strict/nearest"
)

// Exit statuses.
const (
	OK       = 0
	Failure  = 1
	BadInput = 2
	Differs  = 3
)

// ErrQuiet ends a program with status Failure when the failure is reported already.
var ErrQuiet = errors.New("said already")

// ErrDiffers ends a program with status Differs: nothing went wrong, and what was compared
// is not the same. What differs is reported already.
var ErrDiffers = errors.New("it differs")

// A UsageError is a mistake in the command line or the input. It ends the program
// with status BadInput.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }
func (e UsageError) Unwrap() error { return e.Err }

// Usagef makes a UsageError that names the help of cmd.
func Usagef(cmd *cobra.Command, format string, args ...any) error {
	return UsageError{fmt.Errorf(format+" (see `%s --help`)", append(args, cmd.CommandPath())...)}
}

// Execute runs root with args.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) error {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// WriteJSON writes a document as the programs print it: indented, and with <, > and & as
// they are.
func WriteJSON(w io.Writer, document any) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(document)
}

// Exit prints err, unless it is ErrQuiet, and returns the exit status of program.
func Exit(stderr io.Writer, program string, err error) int {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, ErrQuiet):
		return Failure
	case errors.Is(err, ErrDiffers):
		return Differs
	}
	fmt.Fprintf(stderr, "%s: %v\n", program, err)
	if _, ok := errors.AsType[UsageError](err); ok {
		return BadInput
	}
	return Failure
}

// more is the help title of the verbs that cobra adds.
const more = "More"

// A Group is some verbs under one title in the help.
type Group struct {
	Title string
	Verbs []*cobra.Command
}

// Prepare gives root its groups of verbs, our messages about mistakes, and
// --version, which runs the verb version. Without a verb, root prints its help.
func Prepare(root *cobra.Command, groups ...Group) {
	root.SilenceUsage, root.SilenceErrors = true, true
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.Title, Title: g.Title + ":"})
		for _, verb := range g.Verbs {
			verb.GroupID = g.Title
			root.AddCommand(verb)
		}
	}
	root.AddGroup(&cobra.Group{ID: more, Title: more + ":"})
	root.SetCompletionCommandGroupID(more)
	root.SetHelpCommandGroupID(more)
	version := root.Flags().Bool("version", false, "print the version")
	root.Args = NoVerb
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if verb := find(root, "version"); *version && verb != nil {
			verb.SetContext(cmd.Context())
			return verb.RunE(verb, nil)
		}
		return cmd.Help()
	}
	root.SetFlagErrorFunc(flagError)
}

// flagError reports a wrong flag, or the unknown verb before it if there is one. A command
// with verbs may take arguments of its own.
func flagError(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		if err := cmd.ValidateArgs(args); err != nil {
			return err
		}
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return Usagef(cmd, "%w", err)
	}
	if near := nearest.Word(unknown.GetSpecifiedName(), flags(cmd)); near != "" {
		return Usagef(cmd, "%w; did you mean --%s?", err, near)
	}
	return Usagef(cmd, "%w", err)
}

// flags are the names of the flags that cmd takes.
func flags(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// NoVerb checks the arguments of a command that has verbs: any argument is an
// unknown verb.
func NoVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := nearest.Word(args[0], verbs(cmd)); near != "" {
		return Usagef(cmd, "unknown command %q; did you mean %q?", args[0], near)
	}
	return Usagef(cmd, "unknown command %q", args[0])
}

func verbs(cmd *cobra.Command) []string {
	var names []string
	for _, verb := range cmd.Commands() {
		if verb.IsAvailableCommand() {
			names = append(names, verb.Name())
		}
	}
	return names
}

func find(root *cobra.Command, name string) *cobra.Command {
	all := root.Commands()
	i := slices.IndexFunc(all, func(verb *cobra.Command) bool { return verb.Name() == name })
	if i < 0 {
		return nil
	}
	return all[i]
}

// Args makes a wrong number of arguments a UsageError.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return Usagef(cmd, "%w", err)
		}
		return nil
	}
}

// NoArgs refuses arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return Usagef(cmd, "%s takes no arguments, got %q", cmd.CommandPath(), args)
}

// Verbs gives cmd verbs of its own. Without one of them, cmd is a UsageError.
func Verbs(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(below...)
	cmd.Args = NoVerb
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return Usagef(cmd, "%s does nothing alone: it has the commands %s", cmd.CommandPath(), strings.Join(verbs(cmd), ", "))
	}
	return cmd
}

// BrokenExamples returns an error for each example in the help of root that root
// does not understand. Tests use it.
func BrokenExamples(root *cobra.Command) []error {
	var broken []error
	for _, cmd := range append(root.Commands(), root) {
		for line := range strings.Lines(cmd.Example) {
			if err := try(root, cmd, line); err != nil {
				broken = append(broken, fmt.Errorf("%s: %q: %w", cmd.CommandPath(), line, err))
			}
		}
		if cmd != root && cmd.HasSubCommands() {
			broken = append(broken, BrokenExamples(cmd)...)
		}
	}
	return broken
}

// try parses an example of cmd: PROGRAM VERB ARGUMENTS. sudo, VARIABLE=value, or
// another command and && may precede it; a comment, a pipe or a redirection ends it.
func try(root, cmd *cobra.Command, line string) error {
	parts := strings.Split(line, "&&")
	words := strings.Fields(parts[len(parts)-1])
	if end := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w[:1], "#|<>") }); end >= 0 {
		words = words[:end]
	}
	for len(words) > 0 && (words[0] == "sudo" || strings.Contains(words[0], "=")) {
		words = words[1:]
	}
	if len(words) == 0 || words[0] != root.Root().Name() {
		return errors.New("it does not start with the program")
	}
	found, rest, err := root.Root().Find(words[1:])
	if err != nil {
		return err
	}
	if below := strings.HasPrefix(found.CommandPath(), cmd.CommandPath()); !below {
		return fmt.Errorf("it is an example of %s", found.CommandPath())
	}
	if err := found.ParseFlags(rest); err != nil {
		return err
	}
	return found.ValidateArgs(found.Flags().Args())
}

// Complete offers fixed values for a flag.
func Complete(cmd *cobra.Command, flag string, values []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic("BUG: " + err.Error()) // the flag does not exist
	}
}
