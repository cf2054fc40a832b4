// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// serviceManager is the service manager of all our images.
const serviceManager = "systemd"

// Unmet returns why a step does not apply to this machine; empty: it applies. It
// reads files and runs nothing; it ignores "if".
func Unmet(root tree.Root, facts template.Facts, s config.Step) string {
	for _, c := range []struct{ key, pattern, have string }{
		{"only_os", s.OnlyOS, facts.OS},
		{"only_os_version", s.OnlyOSVersion, facts.OSVersion},
		{"only_arch", s.OnlyArch, facts.Arch},
	} {
		if c.pattern != "" && !matches(c.pattern, c.have) {
			return fmt.Sprintf("%s: %q does not match %q", c.key, c.have, c.pattern)
		}
	}
	switch {
	case s.OnlyServiceManager != "" && s.OnlyServiceManager != serviceManager:
		return fmt.Sprintf("only_service_manager: this is %s", serviceManager)
	case !s.Node.IsZero() && s.Node.Text != facts.Hostname && !matches("^(?:"+s.Node.Text+")$", facts.Hostname):
		return fmt.Sprintf("node: %q is not %q", facts.Hostname, s.Node.Text)
	}
	return unmetFiles(root, s.IfFiles)
}

func unmetFiles(root tree.Root, f config.IfFiles) string {
	missing := func(path string) bool { return !root.Exists(path) }
	if len(f.Any) > 0 && !slices.ContainsFunc(f.Any, root.Exists) {
		return fmt.Sprintf("if_files.any: there is none of %v", f.Any)
	}
	if i := slices.IndexFunc(f.All, missing); i >= 0 {
		return fmt.Sprintf("if_files.all: there is no %s", f.All[i])
	}
	if i := slices.IndexFunc(f.None, root.Exists); i >= 0 {
		return fmt.Sprintf("if_files.none: there is %s", f.None[i])
	}
	return ""
}

// matches tells whether pattern matches text. The decoder has checked the pattern;
// an invalid pattern from a template matches nothing.
func matches(pattern, text string) bool {
	re, err := regexp.Compile(pattern)
	return err == nil && re.MatchString(text)
}

// refused returns why the command of "if" prevents the step, or empty.
func (e *Engine) refused(ctx context.Context, s config.Step) string {
	if s.If.IsZero() || e.Dry() {
		return ""
	}
	if _, err := e.System.Run(ctx, shell(s.If.Text)...); err != nil {
		return fmt.Sprintf("if: %v", err)
	}
	return ""
}

func shell(command string) []string { return []string{"/bin/sh", "-c", command} }
