// SPDX-License-Identifier: Apache-2.0

package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFilesOfARelease(t *testing.T) {
	for _, tt := range []struct{ version, arch, binary, checksums, images string }{
		{"v1.34.1+k3s1", "amd64", "k3s", "sha256sum-amd64.txt", "k3s-airgap-images-amd64.tar.zst k3s-airgap-images-amd64.tar.gz k3s-airgap-images-amd64.tar"},
		{"v1.34.1+k3s1", "arm64", "k3s-arm64", "sha256sum-arm64.txt", "k3s-airgap-images-arm64.tar.zst k3s-airgap-images-arm64.tar.gz k3s-airgap-images-arm64.tar"},
		{"v1.34.1+k3s1", "arm", "k3s-armhf", "sha256sum-arm.txt", "k3s-airgap-images-arm.tar.zst k3s-airgap-images-arm.tar.gz k3s-airgap-images-arm.tar"},
		{"v1.34.1+k0s.0", "amd64", "k0s-v1.34.1+k0s.0-amd64", "sha256sums.txt", "k0s-airgap-bundle-v1.34.1+k0s.0-linux-amd64.tar k0s-airgap-bundle-v1.34.1+k0s.0-amd64"},
		{"v1.34.1+k0s.0", "arm", "k0s-v1.34.1+k0s.0-arm", "sha256sums.txt", "k0s-airgap-bundle-v1.34.1+k0s.0-linux-arm.tar k0s-airgap-bundle-v1.34.1+k0s.0-arm"},
	} {
		t.Run(tt.version+" "+tt.arch, func(t *testing.T) {
			v, err := Parse(tt.version)
			if err != nil {
				t.Fatal(err)
			}
			binary, err := v.Binary(tt.arch)
			if err != nil || binary != tt.binary {
				t.Errorf("program: got %s, %v, want %s", binary, err, tt.binary)
			}
			sums, err := v.Checksums(tt.arch)
			if err != nil || sums != tt.checksums {
				t.Errorf("checksums: got %s, %v, want %s", sums, err, tt.checksums)
			}
			images, err := v.Images(tt.arch)
			if got := strings.Join(images, " "); err != nil || got != tt.images {
				t.Errorf("images: got %s, %v, want %s", got, err, tt.images)
			}
		})
	}
}

func TestArchitectureThatIsNotPublished(t *testing.T) {
	v, err := Parse("v1.34.1+k3s1")
	if err != nil {
		t.Fatal(err)
	}
	const want = `k3s is not published for architecture "mips": it is for amd64, arm, arm64`
	_, binary := v.Binary("mips")
	_, images := v.Images("mips")
	_, sums := v.Checksums("mips")
	for _, err := range []error{binary, images, sums} {
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

const (
	sumA = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	sumB = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
)

func TestChecksums(t *testing.T) {
	got, err := ParseChecksums([]byte(sumA + "  k3s\n" + strings.ToUpper(sumB) + " *k0s-v1.34.1+k0s.0-amd64\r\n\n" + sumA + "  k3s\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Checksums{"k3s": sumA, "k0s-v1.34.1+k0s.0-amd64": sumB}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWrongChecksums(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "\n", []string{"it lists no file"}},
		{"a page of a proxy", "<html>\n<body>\n", []string{`line 1: "<html>" is not a checksum`, "line 2: "}},
		{"short", sumA[:62] + "  k3s\n", []string{"line 1: "}},
		{"no name", sumA + "\n" + sumA + "  \n" + sumA + "  k3s\n", []string{"line 1: ", "line 2: "}},
		{"one blank", sumA + " k3s\n", []string{"line 1: "}},
		{"two sums", sumA + "  k3s\n" + sumB + "  k3s\n", []string{`line 2: "k3s" has two checksums`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseChecksums([]byte(tt.text))
			if err == nil {
				t.Fatal("it is accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

// TestManyWrongChecksums: the message about a page of a proxy fits a screen.
func TestManyWrongChecksums(t *testing.T) {
	for lines, want := range map[int]string{3: "", 4: "\n… and 1 more line", 5000: "\n… and 4997 more lines"} {
		_, err := ParseChecksums([]byte(strings.Repeat("<p>\n", lines)))
		const rest = `: "<p>" is not a checksum of sha256sum: it has 64 hex digits, a blank, a blank or a star, and a name`
		if full := "line 1" + rest + "\nline 2" + rest + "\nline 3" + rest + want; err == nil || err.Error() != full {
			t.Errorf("%d lines: got %.1000v\nwant %s", lines, err, full)
		}
	}
	long := strings.Repeat("x", 1000)
	if _, err := ParseChecksums([]byte(sumA + "  " + long + "\n" + sumB + "  " + long + "\n")); err == nil || err.Error() != `line 2: "`+long[:80]+`" has two checksums` {
		t.Errorf("a long name: got %v", err)
	}
}

func FuzzParseChecksums(f *testing.F) {
	f.Add([]byte(sumA + "  k3s\n" + sumB + " *k0s\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := ParseChecksums(data)
		if err != nil {
			return
		}
		var text strings.Builder
		for name, sum := range sums {
			text.WriteString(sum + "  " + name + "\n")
		}
		again, err := ParseChecksums([]byte(text.String()))
		if diff := cmp.Diff(sums, again); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
