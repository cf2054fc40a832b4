// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kairos-build/kairos-build/framework/source"
)

// registryFlags say how to talk to a registry.
type registryFlags struct {
	caFile, auth string
	mirrors      map[string][]string
}

func newRegistryFlags() registryFlags { return registryFlags{mirrors: map[string][]string{}} }

func (r *registryFlags) declare(f *pflag.FlagSet) {
	f.StringVar(&r.caFile, "ca-file", "", "trust the certificates (PEM) in `FILE` besides the system's")
	f.StringVar(&r.auth, "registry-config", "", "take the registry's credentials from `FILE`, a docker-style config.json (default "+source.DefaultAuth+")")
	f.Func("mirror", "ask a mirror first: `HOST=URL`, may be repeated", func(text string) error {
		host, url, ok := strings.Cut(text, "=")
		if !ok || host == "" || url == "" {
			return errors.New("want HOST=URL, such as registry.example.org=https://mirror.example.org")
		}
		r.mirrors[host] = append(r.mirrors[host], url)
		return nil
	})
}

func (r *registryFlags) options(log *slog.Logger) source.Options {
	return source.Options{CAFile: r.caFile, Auth: r.auth, Mirrors: r.mirrors, Log: log}
}
