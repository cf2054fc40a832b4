// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"testing"
	"testing/fstest"
)

func TestAptProxy(t *testing.T) {
	for _, tt := range []struct {
		name string
		conf map[string]string
		want string
	}{
		{"none", nil, "<nil>"},
		{"folder", map[string]string{"etc/apt/apt.conf.d/01proxy": "// x\nAcquire::http::Proxy \"http://proxy.example:3142\";\n"}, "http://proxy.example:3142"},
		{"apt.conf last", map[string]string{"etc/apt/apt.conf.d/01proxy": `Acquire::http::Proxy "http://a:1";`, "etc/apt/apt.conf": `acquire::HTTP::proxy "http://b:2/";`}, "http://b:2/"},
		{"commented out, or DIRECT", map[string]string{"etc/apt/apt.conf": "# Acquire::http::Proxy \"http://a:1\";\nAcquire::http::Proxy \"DIRECT\";"}, "<nil>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := fstest.MapFS{}
			for name, text := range tt.conf {
				host[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got := "<nil>"
			if u := AptProxy(host); u != nil {
				got = u.String()
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
