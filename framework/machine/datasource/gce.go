// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/config/userdata"
	"github.com/kairos-build/kairos-build/framework/fetch"
)

// gce is the metadata server of Google Compute Engine.
type gce struct{}

func (gce) Name() string { return "gce" }
func (gce) Local() bool  { return false }
func (gce) Here(f Facts) bool {
	return f.DMI["product_name"] == "Google Compute Engine" || strings.HasPrefix(f.DMI["product_serial"], "GoogleCloud-")
}

const flavorHeader, flavor = "Metadata-Flavor", "Google"

// gceAttributes are the attributes that a user sets on an instance or a project.
type gceAttributes struct {
	UserData string `json:"user-data"`
	Encoding string `json:"user-data-encoding"`
	Startup  string `json:"startup-script"`
	Keys     string `json:"ssh-keys"`
	OldKeys  string `json:"sshKeys"`
	Block    string `json:"block-project-ssh-keys"`
}

func (gce) Fetch(ctx context.Context, m *Access) (*Data, error) {
	base := m.baseOf("gce", linkLocal)
	url := base + "/computeMetadata/v1/?recursive=true"
	var answer http.Header
	body, err := m.ask(ctx, request{url: url, header: map[string]string{flavorHeader: flavor}, answer: &answer})
	if err != nil {
		return nil, err
	}
	if answer.Get(flavorHeader) != flavor {
		return nil, errors.New("the answer of " + base + " is not that of Google's metadata server")
	}
	var doc struct {
		Instance struct {
			ID         anyText       `json:"id"`
			Hostname   string        `json:"hostname"`
			Attributes gceAttributes `json:"attributes"`
		} `json:"instance"`
		Project struct {
			Attributes gceAttributes `json:"attributes"`
		} `json:"project"`
	}
	if err := decodeJSON(fetch.Shown(url), body, &doc); err != nil {
		return nil, err
	}
	own := doc.Instance.Attributes
	d := &Data{Place: base, InstanceID: string(doc.Instance.ID), Hostname: doc.Instance.Hostname, Keys: gceKeys(own, doc.Project.Attributes, time.Now())} //nolint:forbidigo // keys end at a time
	return d, d.gceUserData(own)
}

func (d *Data) gceUserData(own gceAttributes) error {
	d.UserData = []byte(own.UserData)
	if own.Encoding == "base64" {
		data, err := userdata.Unbase64(own.UserData)
		if err != nil {
			return fmt.Errorf("user-data: %w", err)
		}
		d.UserData = data
	}
	switch {
	case own.Startup == "":
	case len(d.UserData) == 0 && strings.HasPrefix(own.Startup, "#!"):
		d.UserData = []byte(own.Startup)
	default:
		d.Notes = append(d.Notes, "startup-script is not used: there is user-data, or it is no script that begins with #!")
	}
	return nil
}

// gceKeys returns the keys of the lines "user:key", without expired keys.
func gceKeys(own, project gceAttributes, now time.Time) []string {
	text := own.Keys + "\n" + own.OldKeys
	if own.OldKeys == "" && !strings.EqualFold(own.Block, "true") {
		text += "\n" + project.Keys + "\n" + project.OldKeys
	}
	var keys []string
	for _, line := range lines(text) {
		_, key, ok := strings.Cut(line, ":")
		if ok && !gceExpired(key, now) {
			keys = append(keys, strings.TrimSpace(key))
		}
	}
	return keys
}

// gceExpired reads the expiry in the comment of a key that gcloud made:
// google-ssh {"userName":"a","expireOn":"2026-01-02T15:04:05+0000"}.
func gceExpired(key string, now time.Time) bool {
	_, comment, ok := strings.Cut(key, " google-ssh {")
	if !ok {
		return false
	}
	var c struct {
		ExpireOn string `json:"expireOn"`
	}
	if decodeJSON("the comment of a key", []byte("{"+comment), &c) != nil {
		return true
	}
	end, err := time.Parse("2006-01-02T15:04:05-0700", c.ExpireOn)
	return err != nil || now.After(end)
}
