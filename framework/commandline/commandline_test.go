// SPDX-License-Identifier: Apache-2.0

package commandline_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/framework/commandline"
)

// program has the verbs make, break, hush, list new, list old and version.
func program() *cobra.Command {
	verb := func(use string, err error) *cobra.Command {
		cmd := &cobra.Command{Use: use, Short: use, Args: commandline.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), "did "+cmd.CommandPath())
			return err
		}}
		cmd.Flags().Bool("ca-file", false, "")
		return cmd
	}
	root := &cobra.Command{Use: "builder", Example: "  builder make"}
	list := commandline.Verbs(&cobra.Command{Use: "list", Short: "list"}, verb("new", nil), verb("old", nil))
	commandline.Prepare(root,
		commandline.Group{Title: "Make", Verbs: []*cobra.Command{verb("make", nil), verb("break", errors.New("no hammer")), verb("hush", commandline.ErrQuiet), verb("compare", commandline.ErrDiffers)}},
		commandline.Group{Title: "Look", Verbs: []*cobra.Command{list, verb("version", nil)}},
	)
	return root
}

func TestProgram(t *testing.T) {
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"make", commandline.OK, "did builder make\n", ""},
		{"", commandline.OK, "Make:\n  break ", ""},
		{"--version", commandline.OK, "did builder version\n", ""},
		{"break", commandline.Failure, "did builder break\n", "builder: no hammer\n"},
		{"hush", commandline.Failure, "did builder hush\n", ""},
		{"compare", commandline.Differs, "did builder compare\n", ""},
		{"mke", commandline.BadInput, "", "builder: unknown command \"mke\"; did you mean \"make\"? (see `builder --help`)\n"},
		{"mke --ca-file", commandline.BadInput, "", "unknown command \"mke\""},
		{"--ca-fiel make", commandline.BadInput, "", "unknown flag: --ca-fiel"},
		{"make --ca-fiel", commandline.BadInput, "", "unknown flag: --ca-fiel; did you mean --ca-file? (see `builder make --help`)\n"},
		{"make --ca-file=x", commandline.BadInput, "", "invalid argument"},
		{"make now", commandline.BadInput, "", "builder make takes no arguments, got [\"now\"]"},
		{"list", commandline.BadInput, "", "builder list does nothing alone: it has the commands new, old"},
		{"list nwe --x", commandline.BadInput, "", "did you mean \"new\"? (see `builder list --help`)\n"},
	} {
		var stdout, stderr bytes.Buffer
		err := commandline.Execute(t.Context(), program(), strings.Fields(c.args), &stdout, &stderr)
		code := commandline.Exit(&stderr, "builder", err)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) || c.stderr == "" && stderr.Len() > 0 {
			t.Errorf("%q: status %d, %q, %q, want %+v", c.args, code, stdout.String(), stderr.String(), c)
		}
	}
}

func TestBrokenExamples(t *testing.T) {
	if broken := commandline.BrokenExamples(program()); len(broken) > 0 {
		t.Error(broken)
	}
	for _, line := range []string{"builder mke", "make", "builder make --x", "builder make now"} {
		root := program()
		root.Example = "  sudo " + line + " # as it is\n"
		if broken := commandline.BrokenExamples(root); len(broken) != 1 {
			t.Errorf("%q: %v", line, broken)
		}
	}
}
