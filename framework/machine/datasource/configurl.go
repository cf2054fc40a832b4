// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"errors"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// ConfigURL is the URL in the kernel argument kairos.config_url or in the key
// config_url of a config.
type ConfigURL string

// Name is "url".
func (ConfigURL) Name() string { return "url" }

// Local is false.
func (ConfigURL) Local() bool { return false }

// Here is true if there is a URL.
func (u ConfigURL) Here(Facts) bool { return u != "" }

// Fetch gets the config. A missing config is an error, because the URL was set
// on purpose.
func (u ConfigURL) Fetch(ctx context.Context, m *Access) (*Data, error) {
	if !isHTTP(string(u)) {
		return nil, errors.New("the URL of the config begins with neither http:// nor https://: " + fetch.Shown(string(u)))
	}
	body, err := m.ask(ctx, request{url: string(u)})
	if err != nil {
		return nil, err
	}
	return &Data{Place: fetch.Shown(string(u)), UserData: body}, nil
}
