// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"
)

// rpmMacros turn off what rpmbuild would do with programs that it did not compile.
func rpmMacros() []string {
	return []string{
		"debug_package %{nil}", "__os_install_post %{nil}", "__arch_install_post %{nil}", "_build_id_links none",
		"_binaries_in_noarch_packages_terminate_build 0", "_buildhost stand-in", "_binary_payload w3.zstdio",
		"use_source_date_epoch_as_buildtime 1", "clamp_mtime_to_source_date_epoch 1",
	}
}

// HasFiles tells whether a package has files.
func (p rpmPackage) HasFiles() (bool, error) {
	entries, err := os.ReadDir(p.Root)
	return len(entries) > 0, err
}

// buildRPMs lets rpmbuild make all packages below dir, and returns their paths by their
// names.
func buildRPMs(ctx context.Context, all []rpmPackage, dir string, at time.Time) (map[string]string, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(3)
	paths := make([]string, len(all))
	for i, p := range all {
		g.Go(func() (err error) {
			if paths[i], err = p.build(ctx, filepath.Join(dir, p.Name), at); err != nil {
				return fmt.Errorf("building the package %s: %w", p.Name, err)
			}
			return nil
		})
	}
	err := g.Wait()
	named := map[string]string{}
	for i, p := range all {
		named[p.Name] = paths[i]
	}
	return named, err
}

// build makes one package in a folder of its own.
func (p rpmPackage) build(ctx context.Context, dir string, at time.Time) (string, error) {
	spec, err := p.spec()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "package.spec")
	if err := os.WriteFile(file, spec, 0o644); err != nil {
		return "", err
	}
	args := []string{"-bb", "--quiet", "--target", "x86_64"}
	for _, macro := range append(rpmMacros(), "_topdir "+dir, "_rpmdir "+dir, "_rpmfilename %%{NAME}.rpm") {
		args = append(args, "--define", macro)
	}
	cmd := exec.CommandContext(ctx, "rpmbuild", append(args, file)...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(at.Unix(), 10))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("rpmbuild: %w: %s", err, bytes.TrimSpace(out))
	}
	return filepath.Join(dir, p.Name+".rpm"), nil
}

// spec is the spec file of a package.
func (p rpmPackage) spec() ([]byte, error) {
	escape := func(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "%", "%%") }
	t, err := template.New("package.spec").Funcs(template.FuncMap{"escape": escape}).ParseFS(plans, "rpm/package.spec")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, p)
	return out.Bytes(), err
}
