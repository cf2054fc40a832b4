// SPDX-License-Identifier: Apache-2.0

package lock

import (
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/packages"
	"github.com/kairos-build/kairos-build/framework/source/release"
	"github.com/kairos-build/kairos-build/framework/strict"
)

// Parse reads a lock. file is used in messages only. The error is strict.Problems: every
// mistake of the file, with line and column.
func Parse(file string, data []byte) (*Lock, error) {
	l := &Lock{}
	problems := strict.DecodeDocument(file, "", data, l.decode)
	if len(problems) > 0 { // also a warning: an empty file, or a key without a value
		return nil, problems
	}
	return l, nil
}

func (l *Lock) decode(n strict.Node) {
	form := 0
	each(n,
		required("format", integer(func(v int64) { form = int(v) })),
		required("flavor", str(&l.Flavor, nil)),
		required("distribution", str(&l.Distribution, nil)),
		required("components", list(&l.Components)),
		required("made", clock(&l.Made)),
		required("epoch", clock(&l.Epoch)),
		required("snapshots", l.snapshots),
		required("indexes", items("indexes", &l.Indexes, index)),
		required("machines", items("machines", &l.Machines, l.machine)),
	)
	if form != 0 && form != Format {
		n.Fail(fmt.Sprintf("the format is %d, and this version of kairos-build reads %d", form, Format), "use the version that made the lock, or name another one with --lock, or remove it and make it anew with `kairos-build lock --update`")
	}
}

func (l *Lock) snapshots(n strict.Node) {
	l.Snapshots = map[string]time.Time{}
	n.Each(func(name string, _, value strict.Node) {
		var at time.Time
		clock(&at)(value)
		l.Snapshots[name] = at
	})
}

func index(n strict.Node, i *packages.Index) {
	each(n,
		required("archive", str(&i.Archive, nil)), required("suite", str(&i.Suite, nil)), required("url", str(&i.URL, nil)),
		required("date", clock(&i.Date)), required("sha256", str(&i.SHA256, isSHA256)),
		required("key", str(&i.Key, nil)), required("fingerprint", str(&i.Fingerprint, isFingerprint)),
	)
}

// machine decodes the next of the machines.
func (l *Lock) machine(n strict.Node, m *Machine) {
	each(n,
		required("architecture", str(&m.Arch, nil)),
		optionalField("base", func(n strict.Node) {
			m.Base = &Base{}
			each(n, optionalField("name", str(&m.Base.Name, nil)), required("digest", str(&m.Base.Digest, isDigest)))
		}),
		optionalField("kubernetes", items("releases", &m.Kubernetes, m.release)),
		required("inputs", items("inputs", &m.Inputs, input)),
		required("packages", items("packages", &m.Packages, pkg)),
	)
	m.check(n)
	if m.Arch != "" && l.Machine(m.Arch) != nil {
		n.Fail(fmt.Sprintf("the architecture %s is listed twice", strict.Printable(m.Arch)), renew)
	}
}

// release decodes the next of the releases of Kubernetes.
func (m *Machine) release(n strict.Node, k *Kubernetes) {
	kubernetes(n, k)
	if d := k.Version.Distribution(); d != "" && m.Of(d) != nil {
		n.Fail(fmt.Sprintf("there are two releases of %s", d), renew)
	}
}

// check finds packages that an input names and the table does not have, and packages that
// the table has twice.
func (m *Machine) check(n strict.Node) {
	known := map[string]bool{}
	for _, p := range m.Packages {
		if known[p.Name] && p.Name != "" {
			n.Fail(fmt.Sprintf("the package %s is listed twice", strict.Printable(p.Name)), renew)
		}
		known[p.Name] = true
	}
	for _, in := range m.Inputs {
		for _, name := range in.Packages {
			if !known[name] {
				n.Fail(fmt.Sprintf("the input %s has the package %s, which is not in the list of packages", strict.Printable(in.Name), strict.Printable(name)), renew)
			}
		}
	}
}

// renew is what to do about a damaged lock.
const renew = "take the file from your version control, or name another one with --lock, or remove it and make it anew with `kairos-build lock --update`"

func kubernetes(n strict.Node, k *Kubernetes) {
	each(n,
		required("release", func(n strict.Node) {
			text, ok := n.Text()
			if !ok {
				return
			}
			var err error
			if k.Version, err = release.Parse(text); err != nil {
				n.Fail(fmt.Sprintf("%q is no release of k3s or k0s", strict.Printable(text)), renew)
			}
		}),
		required("wanted", str(&k.Wanted, nil)),
		required("program", func(n strict.Node) { file(n, &k.Program) }),
		optionalField("images", func(n strict.Node) {
			k.Images = &File{}
			file(n, k.Images)
		}),
	)
}

func file(n strict.Node, f *File) {
	each(n, required("name", str(&f.Name, isName)), required("url", str(&f.URL, nil)), required("size", size(&f.Size)), required("sha256", str(&f.SHA256, isSHA256)))
}

func input(n strict.Node, in *Input) {
	each(n, required("input", str(&in.Name, nil)), required("models", list(&in.Models)), optionalField("names", list(&in.Names)), required("packages", list(&in.Packages)))
}

func pkg(n strict.Node, p *packages.Package) {
	each(n,
		required("name", str(&p.Name, isName)), required("version", str(&p.Version, nil)), required("architecture", str(&p.Arch, nil)),
		required("archive", str(&p.Archive, nil)), required("size", size(&p.Size)), required("sha256", str(&p.SHA256, isSum)),
		required("path", str(&p.Path, isPath)),
	)
}

// A field is a key that a mapping of a lock may have, or must have.
type field struct {
	name   string
	must   bool
	decode func(strict.Node)
}

func required(name string, decode func(strict.Node)) field      { return field{name, true, decode} }
func optionalField(name string, decode func(strict.Node)) field { return field{name, false, decode} }

// each decodes a mapping, and reports the keys that are missing.
func each(n strict.Node, fields ...field) {
	found := map[string]bool{}
	var known []strict.Field
	for _, f := range fields {
		known = append(known, strict.Field{Name: f.name, Decode: func(n strict.Node) {
			found[f.name] = true
			f.decode(n)
		}})
	}
	n.Map(known...)
	for _, f := range fields {
		if f.must && !found[f.name] && n.IsMap() {
			n.Fail(fmt.Sprintf("the key %q is missing", f.name), renew)
		}
	}
}

// items decodes a list of mappings.
func items[T any](of string, to *[]T, decode func(strict.Node, *T)) func(strict.Node) {
	return func(n strict.Node) {
		for _, item := range n.List(of) {
			var v T
			decode(item, &v)
			*to = append(*to, v)
		}
	}
}

// A check says what a text must be.
type check struct {
	want string
	ok   func(string) bool
}

// str decodes a text that passes a check, or any if c is nil.
func str(to *string, c *check) func(strict.Node) {
	return func(n strict.Node) {
		s, ok := n.Text()
		if !ok {
			return
		}
		*to = s
		if c != nil && !c.ok(s) {
			n.Fail(fmt.Sprintf("%q is not %s", strict.Printable(s), c.want), renew)
		}
	}
}

func list(to *[]string) func(strict.Node) {
	return func(n strict.Node) {
		for _, item := range n.List("texts") {
			var s string
			str(&s, nil)(item)
			*to = append(*to, s)
		}
	}
}

func integer(set func(int64)) func(strict.Node) {
	return func(n strict.Node) {
		if v, ok := n.Int(); ok {
			set(int64(v))
		}
	}
}

func size(to *int64) func(strict.Node) {
	return func(n strict.Node) {
		integer(func(v int64) {
			if *to = v; v <= 0 {
				n.Fail(fmt.Sprintf("%d is no number of bytes", v), renew)
			}
		})(n)
	}
}

// clock decodes a time as 2026-11-29T01:13:00Z.
func clock(to *time.Time) func(strict.Node) {
	return func(n strict.Node) {
		s, ok := n.Text()
		if !ok {
			return
		}
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			n.Fail(fmt.Sprintf("%q is no time such as 2026-11-29T01:13:00Z", strict.Printable(s)), renew)
			return
		}
		*to = at.UTC()
	}
}

var (
	isSHA256      = &check{"a SHA-256 of 64 hex digits", func(s string) bool { return isHex(s, 32) }}
	isSum         = &check{"a SHA-256 of 64 hex digits, or a SHA-512 of 128", func(s string) bool { return isHex(s, 32) || isHex(s, 64) }}
	isFingerprint = &check{"the fingerprint of a key", func(s string) bool { return isHex(strings.ToLower(s), 20) || isHex(strings.ToLower(s), 32) }}
	isDigest      = &check{"a digest sha256:<64 hex digits>", func(s string) bool {
		sum, ok := strings.CutPrefix(s, "sha256:")
		return ok && isHex(sum, 32)
	}}
	isPath = &check{"a path below the archive", func(s string) bool {
		return path.Clean(s) == s && !path.IsAbs(s) && s != "." && s != ".." && !strings.HasPrefix(s, "../")
	}}
	isName   = &check{"a name", nameForm.MatchString}
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]*$`)
)

// isHex tells whether s is n bytes in lower-case hex.
func isHex(s string, n int) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == n && s == strings.ToLower(s)
}
