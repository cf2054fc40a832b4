// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/factory"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages/deb/archive"
	"github.com/kairos-build/kairos-build/flavors"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// lockFlags are the flags of `kairos-build lock` and `kairos-build outdated`.
type lockFlags struct {
	factory.LockOptions
	talk   talkFlags
	kube   kubernetesFlags
	mirror []string
	asJSON bool
}

func newLock() *cobra.Command {
	var o lockFlags
	cmd := &cobra.Command{
		Use:   "lock [FLAVOR...]",
		Short: "Write down the exact packages of a flavor, so that later builds give the same image",
		Long: `Reads the distribution's signed archive and writes a lock: every package with its
version and SHA-256, the signed indexes that listed them and the keys that signed
them, and the exact release of Kubernetes and of a base image, if they are named.
"kairos-build flavor" builds from the lock: the same image today, on another machine
and months later. Keep the file in version control.

The lock of a built-in flavor is flavors/NAME/lock.yaml, below the current folder. The
lock of your own flavor is beside its file. It holds all models and architectures of the
flavor, or those of --arch.

A lock that is there stays as it is; --update writes it again, with the Kubernetes and
the base image that it has. Without FLAVOR, lock is about all built-in flavors, and
lock --update about those that have a lock. docs/lock.md describes the file.`,
		Example: `  kairos-build lock debian-13
  kairos-build lock debian-13 --k3s v1.34
  kairos-build lock debian-13 --arch amd64
  kairos-build lock --update
  kairos-build lock ./edge/flavor.yaml --lock edge/july.lock.yaml --json`,
		ValidArgsFunction: completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.checkMirrors(args); err != nil {
				return commandline.UsageError{Err: err}
			}
			results, err := o.each(cmd, args, !o.Update, factory.Lock)
			if err != nil {
				return err
			}
			if o.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(results)
			}
			return printLocks(cmd.OutOrStdout(), results)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Update, "update", false, "write a lock that is there again, from the archive as it is now")
	flags.StringArrayVar(&o.Packages, "package", nil, "lock a `package` of the archive, too, for builds with --package; may be repeated")
	flags.StringSliceVar(&o.Arches, "arch", nil, "`architectures` to lock (default: those of the lock that is there, or all that the flavor has)")
	flags.StringVar(&o.Base, "base", "", "image to lock for --base: OCI layout, OCI archive or registry `reference`")
	o.kube.add(flags)
	o.add(cmd)
	return cmd
}

func newOutdated() *cobra.Command {
	var o lockFlags
	cmd := &cobra.Command{
		Use:   "outdated [FLAVOR...]",
		Short: "List what a new lock would change",
		Long: `Compares the lock of a flavor with the archive and the publishers as they are now, and
lists what "kairos-build lock --update" would change, old and new. It writes nothing.
Without FLAVOR, it is about all built-in flavors that have a lock.

Exit status: 0 when nothing would change, 3 when something would, 1 for a failure, 2 for
bad input.`,
		Example: `  kairos-build outdated
  kairos-build outdated debian-13 --json`,
		ValidArgsFunction: completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			results, err := o.each(cmd, args, false, factory.Outdated)
			if err != nil {
				return err
			}
			if o.asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(results)
			} else {
				err = printOutdated(cmd.OutOrStdout(), results)
			}
			if err == nil && slices.ContainsFunc(results, func(r *factory.LockResult) bool { return len(r.Changes) > 0 }) {
				err = commandline.ErrDiffers
			}
			return err
		},
	}
	o.add(cmd)
	return cmd
}

// add adds the flags that both verbs have.
func (o *lockFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.File, "lock", "", "lock `file` (default: the flavor's, see above)")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON on stdout")
	mirrorFlag(flags, &o.mirror)
	o.talk.add(flags)
}

// each calls do for each flavor: those that are named, or else all built-in ones (all is
// true), or those that have a lock.
func (o *lockFlags) each(cmd *cobra.Command, named []string, all bool, do func(context.Context, factory.LockOptions) (*factory.LockResult, error)) ([]*factory.LockResult, error) {
	names, err := lockNames(named, all)
	if err == nil && o.File != "" && len(names) != 1 {
		err = errors.New("--lock names the lock of one flavor: name that flavor")
	}
	if err != nil {
		return nil, commandline.Usagef(cmd, "%w", err)
	}
	t, err := o.talk.open(cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	results := []*factory.LockResult{}
	if err = o.complete(t); err == nil {
		for _, name := range names {
			one := o.LockOptions
			one.Flavor = name
			var r *factory.LockResult
			if r, err = do(cmd.Context(), one); err != nil {
				break
			}
			results = append(results, r)
		}
	}
	return results, t.close(err)
}

// checkMirrors refuses mirrors of a Kubernetes that no lock of this run will have.
func (o *lockFlags) checkMirrors(named []string) error {
	names, err := lockNames(named, !o.Update)
	if err != nil {
		return err
	}
	wanted, err := o.kube.all()
	if err != nil {
		return err
	}
	mirrors := sortMirrors(o.mirror)
	for _, d := range release.Distributions() {
		asked := slices.ContainsFunc(wanted, func(w factory.WantedKubernetes) bool { return w.Distribution == d })
		if asked || slices.ContainsFunc(names, func(name string) bool { return flavorHas(name, d) || factory.LockHas(name, o.File, d) }) {
			delete(mirrors.kubernetes, d)
		}
	}
	return mirrors.check("")
}

// flavorHas reports whether a flavor asks for a Kubernetes. One that cannot be read does not:
// Lock says what is wrong with it.
func flavorHas(name string, d release.Distribution) bool {
	f, err := flavors.Open(name)
	return err == nil && map[release.Distribution]string{release.K3s: f.Default.K3s, release.K0s: f.Default.K0s}[d] != ""
}

// complete sets where everything comes from, and where it is reported to.
func (o *lockFlags) complete(t *talker) (err error) {
	builder, state, err := new(engineFlags).options()
	if err != nil {
		return err
	}
	o.State = state
	flags, env := sortMirrors(o.mirror), sortMirrors(strings.Fields(os.Getenv(archive.EnvMirror)))
	var aptErr, kubeErr error
	o.Families, aptErr = families(familyOptions{o.State, builder, flags, env, t.log})
	o.Kubernetes, kubeErr = o.kube.all()
	o.Find = finders(o.State, flags, env, t.log)
	o.Progress, o.Log, o.Now = t, t.log, time.Now() //nolint:forbidigo // a lock says when it was made
	if err := errors.Join(aptErr, kubeErr); err != nil {
		return commandline.UsageError{Err: err}
	}
	return nil
}

func lockNames(named []string, all bool) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	names := flavors.Names()
	if all {
		return names, nil
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Stat(flavors.LockFile(name))
		return err != nil
	})
	if len(names) == 0 {
		return nil, errors.New("no built-in flavor has a lock in this folder (flavors/NAME/lock.yaml): `kairos-build lock FLAVOR` makes one")
	}
	return names, nil
}

func printLocks(w io.Writer, results []*factory.LockResult) error {
	for _, r := range results {
		how := "as it was"
		if r.Written {
			how = "written"
		}
		fmt.Fprintf(w, "lock   %s  %s  %d packages, %s\n", r.File, r.Digest, r.Packages, how)
	}
	return printChanges(w, results)
}

func printOutdated(w io.Writer, results []*factory.LockResult) error {
	for _, r := range results {
		if len(r.Changes) == 0 {
			fmt.Fprintf(w, "%s: nothing would change; locked %s\n", r.Flavor, r.Made)
		}
	}
	return printChanges(w, results)
}

// printChanges prints a table of all changes, if there are any.
func printChanges(w io.Writer, results []*factory.LockResult) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	title := "FLAVOR\tWHAT\tNAME\tOLD\tNEW\n"
	for _, r := range results {
		for _, c := range r.Changes {
			fmt.Fprint(table, title)
			title = ""
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Flavor, c.Kind, c.Name, dash(c.Old), dash(c.New))
		}
	}
	return table.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
