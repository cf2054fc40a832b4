// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/tonistiigi/go-csvvalue"
)

// cacheEntries parses the caches that builds read and write. All steps are written, not only
// those of the result (mode=max), unless mode says otherwise.
func (o Options) cacheEntries() (from, to []client.CacheOptionsEntry, err error) {
	for _, text := range o.CacheFrom {
		c, err := parseCache(text, "src")
		if err != nil {
			return nil, nil, fmt.Errorf("--cache-from %s: %w", text, err)
		}
		from = append(from, c)
	}
	for _, text := range o.CacheTo {
		c, err := parseCache(text, "dest")
		if err != nil {
			return nil, nil, fmt.Errorf("--cache-to %s: %w", text, err)
		}
		if c.Attrs["mode"] == "" {
			c.Attrs["mode"] = "max"
		}
		to = append(to, c)
	}
	return from, to, nil
}

// parseCache parses key=value pairs with commas between them; folder is the key that a cache of
// type local needs.
func parseCache(text, folder string) (c client.CacheOptionsEntry, _ error) {
	needs := map[string]string{"registry": "ref", "local": folder}
	how := fmt.Errorf("write type=registry,ref=REGISTRY/NAME:TAG or type=local,%s=FOLDER", folder)
	fields, err := csvvalue.Fields(text, nil)
	if err != nil {
		return c, err
	}
	c.Attrs = map[string]string{}
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		c.Attrs[key] = value
	}
	c.Type = c.Attrs["type"]
	delete(c.Attrs, "type")
	need, known := needs[c.Type]
	switch {
	case !known:
		return c, fmt.Errorf("a cache of type %q is not known: %w", c.Type, how)
	case c.Attrs[need] == "":
		return c, fmt.Errorf("%s= is missing: %w", need, how)
	}
	return c, nil
}
