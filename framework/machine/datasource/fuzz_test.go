// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"github.com/kairos-build/kairos-build/ci/bounded"
)

// FuzzVolume reads any bytes as a CD-ROM or a stick: anybody can plug one in. The seeds are
// the beginnings of real ones; zeros follow.
func FuzzVolume(f *testing.F) {
	files := map[string]string{"user-data": userData, "meta-data": "instance-id: i-1\n"}
	for _, image := range [][]byte{seedOf(f, "iso", files), seedOf(f, "fat", files)} {
		f.Add(image)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		if _, err := image.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := image.Truncate(max(int64(len(data)), 2<<20)); err != nil {
			t.Fatal(err)
		}
		bounded.Run(t, 256<<20, func() { readAll(t, image) })
	})
}

func readAll(t *testing.T, image *os.File) {
	v, err := openVolume(image, "/dev/sr0")
	if err != nil {
		return
	}
	for _, name := range []string{"user-data", "openstack/latest/meta_data.json"} {
		if data, err := v.read(name); len(data) > MaxSize || err != nil && data != nil {
			t.Errorf("%s has %d bytes: %v", name, len(data), err)
		}
	}
}

// seedOf is a medium with files, without the zeros at its end.
func seedOf(f *testing.F, kind string, files map[string]string) []byte {
	f.Helper()
	var image string
	if kind == "iso" {
		image = isoImage(f, iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "cidata"}, files)
	} else {
		image = fatImage(f, 12, "CIDATA", files)
	}
	data, err := os.ReadFile(image)
	if err != nil {
		f.Fatal(err)
	}
	return bytes.TrimRight(data, "\x00")
}

// FuzzSeed reads the documents of a medium, of the firmware and of OVF.
func FuzzSeed(f *testing.F) {
	f.Add([]byte("instance-id: i-1\nlocal-hostname: a\npublic-keys:\n  mine: [ssh-rsa A]\n"))
	f.Add([]byte("&a [*a, *a]\n"))
	f.Add([]byte(`<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" id="x"><PropertySection><Property key="hostname" value="a"/></PropertySection></Environment>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded.Run(t, 64<<20, func() {
			d := &Data{}
			if err := d.metaData(data); err != nil && strings.Contains(err.Error(), "BUG") {
				t.Error(err)
			}
			if d, err := ovfData(data); err == nil && d == nil {
				t.Error("neither data nor an error")
			}
		})
	})
}

// everywhere answers each request of a metadata service with the same bytes.
type everywhere []byte

// RoundTrip implements http.RoundTripper.
func (e everywhere) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "" {
		return nil, errors.New("no host")
	}
	header := http.Header{flavorHeader: {flavor}}
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(bytes.NewReader(e)), Request: r}, nil
}

// FuzzServices asks each metadata service, which answers everything with the same bytes.
func FuzzServices(f *testing.F) {
	for _, text := range []string{
		`{"id":1,"instance-id":"i-1","hostname":"a","public_keys":["ssh-rsa A"],"user_data":"x","network":{},"uuid":"u","name":"n"}`,
		`{"compute":{"name":"a","osProfile":{"computerName":"a"},"publicKeys":[{"keyData":"ssh-rsa A"}],"userData":"eA=="}}`,
		"0=mine\n1=other", "instance-id: i-1\npublic-keys: [ssh-rsa A]\n", `["a"]`, `{"instance":{"attributes":{"ssh-keys":"a:ssh-rsa A"}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Count(data, []byte("\n")) > 32 {
			return // EC2 asks for each key in a list
		}
		m := &Access{
			FS:       fstest.MapFS{"proc/cmdline": &fstest.MapFile{Data: []byte("ds=nocloud;s=http://seed.example/")}},
			Client:   &http.Client{Transport: everywhere(data)},
			Patience: 5 * time.Second, Pause: time.Millisecond,
		}
		bounded.Run(t, 128<<20, func() {
			for _, s := range All() {
				if s.Local() {
					continue
				}
				if d, err := s.Fetch(t.Context(), m); err == nil && d == nil {
					t.Errorf("%s: neither data nor an error", s.Name())
				}
			}
		})
	})
}
