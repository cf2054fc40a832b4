// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/layout"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes/arguments"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// shells are the shells with completion, and the forms of the paths of their files.
var shells = []struct{ name, path string }{
	{"bash", "usr/share/bash-completion/completions/%s"},
	{"zsh", "usr/share/zsh/vendor-completions/_%s"},
	{"fish", "usr/share/fish/vendor_completions.d/%s.fish"},
}

// printers are the commands that print the completion of a program and of those that it
// contains, by the name of the program. The name of the shell is appended.
var printers = map[string][]struct {
	of   string
	args []string
}{
	"k3s": {
		{"k3s", []string{"completion"}},
		{"kubectl", []string{"kubectl", "completion"}},
		{"crictl", []string{"crictl", "completion"}},
	},
	"k0s": {
		{"k0s", []string{"completion"}},
		{"kubectl", []string{"kubectl", "completion"}},
	},
}

// completion lets the k3s or k0s of an image print what it alone knows, and writes that
// to --out: its completion for each shell, and the list of its arguments. It says which
// completion the program does not print; without a list it ends with an error.
func completion(args []string) error {
	flags := flag.NewFlagSet("completion", flag.ContinueOnError)
	epoch := flags.Int64("epoch", 0, "time of the result, in Unix seconds")
	program := flags.String("program", "", "k3s or k0s")
	out := flags.String("out", "/out", "root to write to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, printer := range printers[filepath.Base(*program)] {
		for _, shell := range shells {
			path := filepath.Join(*out, fmt.Sprintf(shell.path, printer.of))
			if err := writeCompletion(path, *program, slices.Concat(printer.args, []string{shell.name})); err != nil {
				return err
			}
		}
	}
	if err := writeArguments(filepath.Join(*out, layout.ImageKubernetesArguments), *program); err != nil {
		return err
	}
	return clamp(*out, time.Unix(*epoch, 0))
}

// writeArguments writes the list of the program's arguments to path.
func writeArguments(path, program string) error {
	var list arguments.List
	for _, name := range arguments.Commands(release.Distribution(filepath.Base(program))) {
		help, err := printed(program, name, "--help")
		if err != nil {
			return fmt.Errorf("%s %s --help, for the list of its arguments: %w", filepath.Base(program), name, err)
		}
		found, err := arguments.FromHelp(name, help)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(program), err)
		}
		list = append(list, found...)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, list.Format(), 0o644)
}

// printed returns what a program prints.
func printed(program string, args ...string) ([]byte, error) {
	cmd := command(program, args...)
	cmd.Env = append(os.Environ(), "HOME=/root", "KUBECONFIG=/dev/null") // k0s wants a kubeconfig even for this
	return cmd.Output()
}

// writeCompletion writes what a program prints to path. A program that ends with an
// error or prints nothing has no completion. The folder is made in any case.
func writeCompletion(path, program string, args []string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	data, err := printed(program, args...)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stdout, "left out: %s %s prints no completion: %v\n", filepath.Base(program), strings.Join(args, " "), err)
		return nil
	case len(data) == 0:
		fmt.Fprintf(os.Stdout, "left out: %s %s prints nothing\n", filepath.Base(program), strings.Join(args, " "))
		return nil
	}
	return os.WriteFile(path, data, 0o644)
}
