// SPDX-License-Identifier: Apache-2.0

package persist

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ReportPath is where /init leaves the report of a boot, for
// `kairos-agent status`.
const ReportPath = "/run/kairos/persistent.json"

// A Report says what a boot did to the persistent paths, and which files differ from
// the image since the last synchronisation. Paths are those of the running system.
type Report struct {
	RootHash string `json:"rootHash"` // of the image, 64 hex digits
	// Changed, Added and Removed count the files and directories that this boot
	// changed to follow the image.
	Changed int `json:"changed"`
	Added   int `json:"added"`
	Removed int `json:"removed"`
	// Kept are files that the image changed, and that stay as they are because
	// they were changed here too.
	Kept []Kept `json:"kept"`
	// Local are files of the image that are changed or deleted here only.
	Local []string `json:"local"`
	// Milliseconds is the duration; the caller of Sync.Run sets it.
	Milliseconds float64 `json:"milliseconds"`
}

// Kept is a file that does not follow the image.
type Kept struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// report collects the counts of the run and the records of the paths.
func (r *run) report(paths []Path) Report {
	rep := Report{Changed: r.changed, Added: r.added, Removed: r.removed, Kept: []Kept{}, Local: []string{}}
	for _, p := range paths {
		record := r.next[p.Name]
		rep.Kept = append(rep.Kept, record.Kept...)
		rep.Local = append(rep.Local, record.Local...)
	}
	return rep
}

// Write writes the report to the file name, and makes its directory.
func (r Report) Write(name string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the report on persistent paths: %w", err)
	}
	return errors.Join(
		os.MkdirAll(filepath.Dir(name), 0o755),
		os.WriteFile(name, append(data, '\n'), 0o644))
}

// DecodeReport reads a report.
func DecodeReport(data []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("decoding the report on persistent paths: %w", err)
	}
	return r, nil
}
