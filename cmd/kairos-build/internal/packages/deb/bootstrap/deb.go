// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// The format of a .deb, from deb(5) and ar(5): "!<arch>\n", then members of a
// 60-byte header and their contents, padded to an even length. The first
// member is debian-binary ("2.0\n"), then control.tar[.gz|.xz|.zst], then
// data.tar with one of these endings. Names may end in a slash. Members that
// begin with an underscore are ignored.
const (
	arMagic     = "!<arch>\n"
	arHeaderLen = 60
	arEnd       = "`\n"
)

// Limits against decompression bombs. The largest control archives of Debian unpack to
// about 2 MB; no dictionary of its packages is larger than 64 MiB.
const (
	maxControl    = 64 << 20
	maxDictionary = 64 << 20
)

// deb holds the compressed members of a .deb.
type deb struct {
	control, data member
}

type member struct {
	name string
	body []byte
}

// parseDeb splits a .deb into its members.
func parseDeb(raw []byte) (deb, error) {
	var d deb
	rest, ok := bytes.CutPrefix(raw, []byte(arMagic))
	if !ok {
		return d, fmt.Errorf("is no .deb: it begins with %q, want %q", raw[:min(len(raw), 8)], arMagic)
	}
	version, rest, err := nextMember(rest)
	if err != nil {
		return d, err
	}
	if version.name != "debian-binary" || !bytes.HasPrefix(version.body, []byte("2.")) {
		return d, fmt.Errorf("is no .deb of format 2: its first member is %q with %q, want debian-binary with \"2.0\\n\"",
			version.name, version.body[:min(len(version.body), 8)])
	}
	if d.control, rest, err = find("control.tar", rest); err != nil {
		return d, err
	}
	d.data, _, err = find("data.tar", rest)
	return d, err
}

// find returns the next member that is not ignored. Its name must be stem with any
// ending.
func find(stem string, rest []byte) (m member, after []byte, err error) {
	for {
		if m, rest, err = nextMember(rest); err != nil {
			return m, nil, fmt.Errorf("looking for member %s: %w", stem, err)
		}
		switch {
		case strings.HasPrefix(m.name, "_"):
		case m.name == stem || strings.HasPrefix(m.name, stem+"."):
			return m, rest, nil
		default:
			return m, nil, fmt.Errorf("member %q stands where %s is due", m.name, stem)
		}
	}
}

func nextMember(raw []byte) (m member, rest []byte, err error) {
	if len(raw) < arHeaderLen {
		return m, nil, fmt.Errorf("is truncated: %d bytes where a member's header of %d is due", len(raw), arHeaderLen)
	}
	header, raw := string(raw[:arHeaderLen]), raw[arHeaderLen:]
	m.name = strings.TrimSuffix(strings.TrimRight(header[:16], " "), "/")
	size, err := strconv.ParseInt(strings.TrimRight(header[48:58], " "), 10, 64)
	if err != nil || size < 0 || header[58:] != arEnd {
		return m, nil, fmt.Errorf("member header %q is damaged", header)
	}
	if size > int64(len(raw)) {
		return m, nil, fmt.Errorf("is truncated: member %s has %d bytes, its header says %d", m.name, len(raw), size)
	}
	m.body = raw[:size]
	return m, raw[min(size+size&1, int64(len(raw))):], nil
}

// open returns the decompressed member.
func (m member) open() (io.Reader, error) {
	in := bytes.NewReader(m.body)
	var r io.Reader
	var err error
	switch ext := path.Ext(m.name); ext {
	case ".tar":
		return in, nil
	case ".gz":
		r, err = gzip.NewReader(in)
	case ".xz":
		// The fastest of the xz decoders in pure Go: see decompress in archive.
		r, err = xz.NewReader(in, maxDictionary)
	case ".zst":
		r, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxDictionary))
	default:
		err = fmt.Errorf("compression %q is not supported: want .gz, .xz, .zst or none", ext)
	}
	if err != nil {
		return nil, fmt.Errorf("member %s: %w", m.name, err)
	}
	return r, nil
}

// controlFile is a file of the control archive.
type controlFile struct {
	name string
	mode int64
	body []byte
}

// readControl reads the whole control archive, in its order.
func (d deb) readControl() ([]controlFile, error) {
	r, err := d.control.open()
	if err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: r, N: maxControl}
	var out []controlFile
	for in := tar.NewReader(limited); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err == nil {
			out, err = appendControl(out, h, in)
		}
		if limited.N == 0 {
			err = fmt.Errorf("unpacks to more than %d bytes", maxControl)
		}
		if err != nil {
			return nil, fmt.Errorf("member %s: %w", d.control.name, err)
		}
	}
}

func appendControl(out []controlFile, h *tar.Header, in io.Reader) ([]controlFile, error) {
	name := path.Clean(h.Name)
	if h.Typeflag == tar.TypeDir && name == "." {
		return out, nil
	}
	if h.Typeflag != tar.TypeReg || strings.ContainsAny(name, "/ ") || name == ".." || h.Name == "" {
		return nil, fmt.Errorf("entry %q (type %q) does not belong into a control archive", h.Name, h.Typeflag)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	return append(out, controlFile{name, h.Mode & 0o777, body}), nil
}

// errTooLarge stops a decompression bomb.
var errTooLarge = errors.New("unpacks to more than the limit")
