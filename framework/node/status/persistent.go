// SPDX-License-Identifier: Apache-2.0

package status

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/kairos-build/kairos-build/framework/install/reset"
	"github.com/kairos-build/kairos-build/framework/internal/persist"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

// fromPersistent takes over the report of /init about the persistent paths. There is
// none if /init had no persistent partition.
func (s *Status) fromPersistent(root tree.Root) {
	data, err := root.Read(persist.ReportPath)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var r persist.Report
	if err == nil {
		r, err = persist.DecodeReport(data)
	}
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
		return
	}
	s.Persistent = &r
}

// fromReset adds a problem if a reset has begun and not ended.
func (s *Status) fromReset(root tree.Root) {
	if root.Exists(reset.MarkPath) {
		s.Problems = append(s.Problems, "a reset was interrupted: boot recovery and type `kairos-agent reset --yes` again")
	}
}

// persistentLine sums up how the persistent paths differ from the image.
func (s Status) persistentLine() string {
	p := s.Persistent
	line := fmt.Sprintf("%d kept as here, %d changed here only", len(p.Kept), len(p.Local))
	if n := p.Changed + p.Added + p.Removed; n > 0 {
		line = fmt.Sprintf("%d new from the image, %s", n, line)
	}
	return line
}

// kept lists the paths that keep the node's version although the image has another.
func (s Status) kept(row func(...string)) {
	if s.Persistent == nil || len(s.Persistent.Kept) == 0 {
		return
	}
	row("KEPT", "WHY IT DOES NOT FOLLOW THE IMAGE")
	for _, k := range s.Persistent.Kept {
		row(k.Path, k.Why)
	}
}
