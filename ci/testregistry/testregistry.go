// SPDX-License-Identifier: Apache-2.0

// Package testregistry is the container registry of the tests: that of
// github.com/distribution/distribution, with its blobs in memory.
package testregistry

import (
	"context"
	"io"
	"net/http"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // a way to log in
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // a place for blobs
	"github.com/sirupsen/logrus"
)

// A Setting changes the configuration of a registry.
type Setting func(*configuration.Configuration)

// New returns an empty registry, which lasts as long as ctx. It has no referrers API. It logs
// with the standard logger of logrus, a line for each request: that logger is silent from
// now on, because a failed test prints what it logged.
func New(ctx context.Context, settings ...Setting) http.Handler {
	logrus.SetOutput(io.Discard)
	config := &configuration.Configuration{Storage: configuration.Storage{"inmemory": nil, "maintenance": {"uploadpurging": map[any]any{"enabled": false}}}}
	config.HTTP.Secret = "of a test"
	for _, set := range settings {
		set(config)
	}
	return handlers.NewApp(ctx, config)
}

// ReadOnly refuses each write.
func ReadOnly(c *configuration.Configuration) {
	c.Storage["maintenance"]["readonly"] = map[any]any{"enabled": true}
}

// Login lets in the users of a file in the format of htpasswd, with bcrypt, and nobody else.
func Login(file string) Setting {
	return func(c *configuration.Configuration) {
		c.Auth = configuration.Auth{"htpasswd": {"realm": "test", "path": file}}
	}
}
