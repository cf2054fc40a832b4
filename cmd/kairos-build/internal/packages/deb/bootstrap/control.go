// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"errors"
	"fmt"
	"os"
)

// ReadControl returns the file control of a .deb: what the package says about itself.
func ReadControl(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	d, err := parseDeb(raw)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	text, err := d.controlText()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

func (d deb) controlText() (string, error) {
	files, err := d.readControl()
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.name == "control" {
			return string(f.body), nil
		}
	}
	return "", errors.New("its control archive has no file control")
}
