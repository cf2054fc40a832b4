// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestChooseMirrors(t *testing.T) {
	const deb822Style = `Types: deb deb-src
URIs: cdrom:[x]/ http://deb.debian.org/debian/
Suites: bookworm bookworm-updates
Components: main contrib

Types: deb
URIs: http://off.example/debian-security
Suites: bookworm-security
Components: main
Enabled: no

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
`
	host := func(id, list, sources string) fstest.MapFS {
		return fstest.MapFS{
			"etc/os-release":                            {Data: []byte("ID=" + id + "\nVERSION_CODENAME=\"bookworm\"\n")},
			"etc/apt/sources.list":                      {Data: []byte(list)},
			"etc/apt/sources.list.d/a.list":             {Data: []byte("deb https://cloud.example/apt cloud-bookworm main\n")},
			"etc/apt/sources.list.d/debian.sources":     {Data: []byte(sources)},
			"etc/apt/sources.list.d/zz.list.dpkg-saved": {Data: []byte("deb http://saved.example/ bookworm main\n")},
		}
	}
	def := Mirrors{Main: Mirror{URL: "http://ftp.debian.org/debian"}, Security: Mirror{URL: "http://security.debian.org/debian-security"}}
	const fallback, flag, env = "the flavor's default", "--mirror", "environment variable KAIROS_BUILD_MIRROR"
	const apt = "the host's apt configuration "
	for _, tt := range []struct {
		name string
		o    MirrorOptions
		want Mirrors
	}{
		{"default", MirrorOptions{}, Mirrors{
			Mirror{"http://ftp.debian.org/debian", fallback}, Mirror{"http://security.debian.org/debian-security", fallback}}},
		{"flag before environment", MirrorOptions{Flags: []string{"http://f.example/debian/"}, Env: "http://e.example/debian security=file:///m/sec"}, Mirrors{
			Mirror{"http://f.example/debian", flag}, Mirror{"file:///m/sec", env}}},
		{"host, deb822", MirrorOptions{Host: host("debian", "", deb822Style)}, Mirrors{
			Mirror{"http://deb.debian.org/debian", apt + "(/etc/apt/sources.list.d/debian.sources)"},
			Mirror{"http://deb.debian.org/debian-security", apt + "(/etc/apt/sources.list.d/debian.sources)"}}},
		{"host, one line", MirrorOptions{Host: host("debian", "# deb http://no.example/ bookworm main\ndeb-src http://src.example/ bookworm main\ndeb [arch=amd64 signed-by=/x] http://one.example/debian bookworm main # note\n", "")}, Mirrors{
			Mirror{"http://one.example/debian", apt + "(/etc/apt/sources.list)"}, Mirror{"http://security.debian.org/debian-security", fallback}}},
		{"environment before host", MirrorOptions{Env: "http://e.example/debian", Host: host("debian", "", deb822Style)}, Mirrors{
			Mirror{"http://e.example/debian", env}, Mirror{"http://deb.debian.org/debian-security", apt + "(/etc/apt/sources.list.d/debian.sources)"}}},
		{"host of another distribution", MirrorOptions{Host: host("ubuntu", "deb http://u.example/ubuntu bookworm main", "")}, Mirrors{
			Mirror{"http://ftp.debian.org/debian", fallback}, Mirror{"http://security.debian.org/debian-security", fallback}}},
		{"host without apt", MirrorOptions{Host: fstest.MapFS{"etc/os-release": {Data: []byte("ID=debian")}}}, Mirrors{
			Mirror{"http://ftp.debian.org/debian", fallback}, Mirror{"http://security.debian.org/debian-security", fallback}}},
		{"host with a broken file", MirrorOptions{Host: host("debian", "deb http://one.example/debian bookworm main", "nonsense")}, Mirrors{
			Mirror{"http://one.example/debian", apt + "(/etc/apt/sources.list)"}, Mirror{"http://security.debian.org/debian-security", fallback}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Distribution, tt.o.Default = "debian", def
			got, err := ChooseMirrors(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestChooseMirrorsErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    MirrorOptions
		want string
	}{
		{"flag", MirrorOptions{Flags: []string{"ftp.debian.org"}}, `--mirror: "ftp.debian.org" is no mirror: want http://host/path, https://host/path or file:///path, or security=, snapshot= or security-snapshot= before it`},
		{"environment", MirrorOptions{Env: "security=ftp://x/y"}, `environment variable KAIROS_BUILD_MIRROR: "ftp://x/y" is no mirror: want http://host/path, https://host/path or file:///path, or security=, snapshot= or security-snapshot= before it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ChooseMirrors(tt.o)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func FuzzAptSources(f *testing.F) {
	f.Add("deb [a=b] http://x/y bookworm main", "Types: deb\nURIs: http://x\nSuites: bookworm\nComponents: main\n")
	f.Fuzz(func(t *testing.T, list, sources string) {
		m := hostMirrors(fstest.MapFS{
			"etc/os-release":                   {Data: []byte("ID=debian\nVERSION_CODENAME=bookworm\n")},
			"etc/apt/sources.list":             {Data: []byte(list)},
			"etc/apt/sources.list.d/x.sources": {Data: []byte(sources)},
		}, "debian")
		for _, one := range []Mirror{m.Main, m.Security} {
			if one.URL != "" && checkMirror(one.URL) != nil {
				t.Errorf("chose %q, which is no mirror", one.URL)
			}
		}
	})
}
