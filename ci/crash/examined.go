// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The reports of `make crash`, in the folder of the recording.
const (
	ExploredName = "explore.progress" // a Report
	BootedName   = "boot.json"        // a list of boots
)

// Examined is how many states of a recording were examined, and of which image.
type Examined struct {
	Image  string // digest
	States int
	Booted int // of these
	Bad    int // states that failed a check, or did not come up
}

// ReadExamined reads the reports in the folder of a recording.
func ReadExamined(dir string) (Examined, error) {
	recording, err := ReadRecording(dir)
	if err != nil {
		return Examined{}, err
	}
	if recording.Image == "" {
		return Examined{}, fmt.Errorf("%s of the recording in %s names no image: record it again, with `make crash`", StepsName, dir)
	}
	var explored Report
	var boots []struct {
		Error    string `json:"error"`
		BadAgain int    `json:"badAgain"`
	}
	if err := errors.Join(readReport(filepath.Join(dir, ExploredName), &explored), readReport(filepath.Join(dir, BootedName), &boots)); err != nil {
		return Examined{}, err
	}
	e := Examined{Image: recording.Image, States: explored.Next, Booted: len(boots), Bad: len(explored.Bad)}
	for _, b := range boots {
		if b.Error != "" || b.BadAgain > 0 {
			e.Bad++
		}
	}
	return e, nil
}

func readReport(path string, to any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading a report about power cuts: %w: `make crash` writes it", err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("reading the report about power cuts %s: %w", path, err)
	}
	return nil
}
