// SPDX-License-Identifier: Apache-2.0

package stages

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/config/template"
	"github.com/kairos-build/kairos-build/framework/machine/apply"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// BenchmarkOverhead measures the time that the engine adds to a boot without the
// commands of the steps: decoding, planning, conditions, templates, the report. The
// System does nothing.
func BenchmarkOverhead(b *testing.B) {
	for _, n := range []int{0, 1, 200} {
		b.Run(fmt.Sprintf("%d steps", n), func(b *testing.B) {
			e := benchEngine(b)
			data := []byte(manySteps(n))
			for b.Loop() {
				c, problems := config.Decode("c.yaml", data)
				if problems.Failed() {
					b.Fatal(problems.Error())
				}
				if steps := c.Stages["boot"]; len(steps) > 0 {
					r := e.Run(b.Context(), NewPlan("boot", steps))
					if err := Record(e.Root, "boot", r); !r.OK() || err != nil {
						b.Fatal(err, r.Lines())
					}
				}
			}
		})
	}
}

func manySteps(n int) string {
	var s strings.Builder
	s.WriteString("#cloud-config\nhostname: a\n")
	if n > 0 {
		s.WriteString("stages:\n  boot:\n")
	}
	for i := range n {
		fmt.Fprintf(&s, "    - name: step %d\n      only_os: debian\n      if: test -e /etc/passwd\n      commands: [\"a {{ .MachineID }}\", b]\n", i)
	}
	return s.String()
}

func benchEngine(b *testing.B) *Engine {
	b.Helper()
	e := &Engine{Root: tree.Root{Dir: b.TempDir(), KeepOwner: true}, Log: slog.New(slog.DiscardHandler)}
	for name, data := range image {
		path := filepath.Join(e.Root.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	e.System = systemFunc(func(context.Context, string) error { return nil })
	e.Facts = func() template.Facts { return ReadFacts(e.Root) }
	e.Machine = func() *apply.Machine { return &apply.Machine{Root: e.Root, Log: e.Log, Random: rand.Reader} }
	return e
}
