// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// A source is a commit of a clone.
type source struct {
	repository string
	commit     string // hex
	created    time.Time
}

// findSource checks that the commit may be released under the version.
func findSource(ctx context.Context, o options, say func(string, ...any)) (source, error) {
	if err := checkVersion(o.version); err != nil {
		return source{}, err
	}
	s := source{repository: o.repository}
	line, err := s.git(ctx, "log", "-1", "--format=%H %ct", "--end-of-options", o.commit)
	if err != nil {
		return s, fmt.Errorf("looking for the commit %s: %w", o.commit, err)
	}
	commit, seconds, _ := strings.Cut(line, " ")
	epoch, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return s, fmt.Errorf("looking for the commit %s: git says %q", o.commit, line)
	}
	s.commit, s.created = commit, time.Unix(epoch, 0).UTC()
	return s, s.check(ctx, o, say)
}

func checkVersion(version string) error {
	switch {
	case version == "":
		return errors.New("a release needs a version: make release VERSION=v1.2.3")
	case strings.HasSuffix(version, "-dirty"):
		return fmt.Errorf("the version %s is of files that are not committed: commit them, or name a version: make release VERSION=v1.2.3", version)
	case !semver.IsValid(version) || semver.Canonical(version) != version:
		return fmt.Errorf("the version %q is no version such as v1.2.3 or v1.2.3-rc.1", version)
	}
	return nil
}

// check compares the commit with the tag of the version, and with the files of the clone.
func (s source) check(ctx context.Context, o options, say func(string, ...any)) error {
	tagged, err := s.git(ctx, "rev-parse", "--verify", "--quiet", "refs/tags/"+o.version+"^{commit}")
	switch {
	case err != nil:
		say("there is no tag %s yet: this is a release of the commit %s", o.version, s.commit[:12])
	case tagged != s.commit:
		return fmt.Errorf("the tag %s names the commit %.12s, not %.12s: check out the tag, or choose another version", o.version, tagged, s.commit)
	}
	changed, err := s.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}
	if n := strings.Count(changed, "\n") + 1; changed != "" {
		say("%d files in the clone are not committed, and not in the release", n)
	}
	return nil
}

// export copies the files of the commit into a new folder.
func (s source) export(ctx context.Context, dir string) error {
	if _, err := s.git(ctx, "clone", "--quiet", "--shared", "--no-checkout", "--config", "core.autocrlf=false", ".", dir); err != nil {
		return fmt.Errorf("copying the commit: %w", err)
	}
	copied := source{repository: dir}
	if _, err := copied.git(ctx, "checkout", "--quiet", "--detach", s.commit); err != nil {
		return fmt.Errorf("copying the commit: %w", err)
	}
	return nil
}

// git runs git in the clone, and returns what it says.
func (s source) git(ctx context.Context, args ...string) (string, error) {
	var said, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", s.repository}, args...)...)
	cmd.Stdout, cmd.Stderr = &said, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(said.String()), nil
}
