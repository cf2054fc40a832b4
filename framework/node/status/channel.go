// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"time"
)

// Channel is what the node follows by itself, by its config.
type Channel struct {
	Name       string `json:"name"`
	Window     string `json:"window,omitempty"`     // as in the config; empty: at any time
	Repository string `json:"repository,omitempty"` // REGISTRY/NAME of the config
	// Reference is REGISTRY/NAME:TAG of the newest pointer that was seen, Version what it names
	// and Time when it was made; empty if none was seen.
	Reference string    `json:"reference,omitempty"`
	Version   string    `json:"version,omitempty"`
	Time      time.Time `json:"time,omitzero"`
}

func (c Channel) line() string {
	line := c.Name + ", nothing seen yet"
	if c.Version != "" {
		line = fmt.Sprintf("%s is %s since %s", c.Name, c.Version, c.Time.UTC().Format(time.DateTime))
	}
	if c.Window != "" {
		line += "; upgrades itself " + c.Window
	}
	return line
}
