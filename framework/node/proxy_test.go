// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProxies(t *testing.T) {
	env := []string{"HTTPS_PROXY=http://of-the-config:3128", "no_proxy=10.0.0.0/8", "LANG=C"}
	for _, c := range []struct {
		name string
		have map[string]string
		want []string
	}{
		{"the process has none", nil, []string{"HTTPS_PROXY=http://of-the-config:3128", "no_proxy=10.0.0.0/8"}},
		{"the process has one, in the other spelling", map[string]string{"https_proxy": "http://of-the-caller:3128"}, []string{"no_proxy=10.0.0.0/8"}},
	} {
		got := proxies(env, func(name string) string { return c.have[name] })
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
