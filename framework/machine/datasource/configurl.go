// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"errors"

	"github.com/kairos-build/kairos-build/framework/fetch"
)

// ConfigURL is the source that the kernel argument kairos.config_url, or the
// key config_url of a config, names.
type ConfigURL string

// Name is "url".
func (ConfigURL) Name() string { return "url" }

// Local is false.
func (ConfigURL) Local() bool { return false }

// Here is true when there is a URL.
func (u ConfigURL) Here(Facts) bool { return u != "" }

// Fetch gets the config; one that is missing is an error, because somebody
// named it.
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
