// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/kairos-build/kairos-build/flavors"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "facts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("facts", flag.ContinueOnError)
	name := flags.String("refresh", "", "flavor whose facts are read from its archive")
	dir := flags.String("dir", "ci/facts", "folder of the facts")
	mirrors := map[string]string{}
	flags.Func("mirror", "ID=URL: another address of a repository", func(text string) error {
		id, url, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("want ID=URL, got %q", text)
		}
		mirrors[id] = url
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *name == "" {
		return table(out)
	}
	f, err := flavors.Load(*name)
	if err != nil {
		return err
	}
	data, err := refresh(ctx, f, mirrors)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(*dir, *name+".yaml"), data, 0o644)
}

// table prints how many names are confirmed, and those that are not.
func table(out io.Writer) error {
	all, err := rpmFlavors()
	if err != nil {
		return err
	}
	for _, flavor := range all {
		f, err := read(flavor.Name)
		if err != nil {
			return err
		}
		missing := f.missing()
		total := len(f.Packages) + len(f.Files)
		fmt.Fprintf(out, "%s: %d of %d confirmed", flavor.Name, total-len(missing), total)
		if len(missing) > 0 {
			fmt.Fprintf(out, "; unconfirmed: %s", strings.Join(missing, " "))
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
	}
	return nil
}
