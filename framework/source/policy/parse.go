// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kairos-build/kairos-build/framework/strict"
	"github.com/kairos-build/kairos-build/signing/verify"
)

// Format is the format that this version reads.
const Format = 1

// Predicate types by the names that a policy may use for them.
const (
	TypeTested     = "https://in-toto.io/attestation/test-result/v0.1"
	TypeProvenance = "https://slsa.dev/provenance/v1"
	TypeSPDX       = "https://spdx.dev/Document"
	TypeCycloneDX  = "https://cyclonedx.org/bom"
)

// shortTypes are the names for predicate types.
func shortTypes() map[string]string {
	return map[string]string{"tested": TypeTested, "provenance": TypeProvenance, "spdx": TypeSPDX, "cyclonedx": TypeCycloneDX}
}

// A reader reads a file that a policy names, by its absolute path.
type reader func(path string) ([]byte, error)

// parser reads one policy.
type parser struct {
	Policy
	read   reader
	format int
}

// Parse reads a policy. name is that of the file, for messages; read opens the files that
// the policy names. The policy must not be used if the error is not nil: it is
// strict.Problems, with line and column of every mistake.
func Parse(name string, data []byte, read func(path string) ([]byte, error)) (*Policy, error) {
	p := &parser{read: read}
	problems := strict.DecodeDocument(name, "", data, p.root)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if len(problems) > 0 && p.format == 0 { // an empty file
		return nil, problems
	}
	return &p.Policy, nil
}

func (p *parser) root(n strict.Node) {
	n.Map(
		strict.Field{Name: "format", Decode: func(n strict.Node) { p.format, _ = n.Int() }},
		strict.Field{Name: "keys", Decode: p.keys},
		strict.Field{Name: "identities", Decode: p.identities},
		strict.Field{Name: "trusted_root", Decode: p.trustedRoot},
		strict.Field{Name: "require", Decode: p.require},
		strict.Field{Name: "max_age", Decode: age(&p.MaxAge)},
	)
	if n.IsMap() && p.format != Format {
		n.Fail(fmt.Sprintf("the format is %d, and this version reads %d", p.format, Format), fmt.Sprintf("begin the file with \"format: %d\"", Format))
	}
	if len(p.Identities) > 0 && len(p.Root) == 0 {
		n.Fail("identities need a trusted root, and there is none", "give trusted_root: the path of a trusted_root.json in the image")
	}
}

func (p *parser) keys(n strict.Node) {
	for _, item := range n.List("keys") {
		var k Key
		var pem []byte
		item.Map(
			strict.Field{Name: "name", Decode: word(&k.Name)},
			strict.Field{Name: "pem", Decode: func(n strict.Node) {
				if text, ok := n.Text(); ok {
					pem = []byte(text)
					p.key(n, &k, pem)
				}
			}},
			strict.Field{Name: "file", Decode: func(n strict.Node) {
				if pem != nil {
					n.Fail("the key is given twice, as pem and as a file", "remove one of them")
					return
				}
				if pem = p.file(n); pem != nil {
					p.key(n, &k, pem)
				}
			}},
			strict.Field{Name: "repositories", Decode: repositories(&k.Repositories)},
		)
		if item.IsMap() && pem == nil {
			item.Fail("the key is missing", "give pem, the text of the public key, or file, the path of one")
		}
		if k.Key != nil {
			p.Keys = append(p.Keys, k)
		}
	}
}

// key reads a public key. Several in one file would hide from a reader how many there are.
func (p *parser) key(n strict.Node, k *Key, pem []byte) {
	keys, err := verify.ParseKeys(pem)
	switch {
	case err != nil:
		n.Fail(err.Error(), "")
	case len(keys) != 1:
		n.Fail(fmt.Sprintf("there are %d keys", len(keys)), "list each as a key of its own")
	default:
		k.Key = keys[0]
	}
}

// file reads a file that the policy names; nil after it reported why it cannot.
func (p *parser) file(n strict.Node) []byte {
	name, ok := n.Text()
	if !ok {
		return nil
	}
	if !path.IsAbs(name) || path.Clean(name) != name {
		n.Fail(fmt.Sprintf("%q is no absolute path", strict.Printable(name)), "write it such as /etc/kairos/keys/release.pub")
		return nil
	}
	data, err := p.read(name)
	if err != nil {
		n.Fail(err.Error(), "")
		return nil
	}
	return data
}

// trustedRoot reads a trusted root. One that cannot be used is a mistake of the policy: the
// policy of before has another.
func (p *parser) trustedRoot(n strict.Node) {
	if p.Root = p.file(n); p.Root == nil {
		return
	}
	if err := verify.CheckRoot(p.Root); err != nil {
		n.Fail(err.Error(), "give the trusted_root.json of the sigstore that certifies the signers")
	}
}

func (p *parser) identities(n strict.Node) {
	for _, item := range n.List("identities") {
		var i Identity
		name := ""
		item.Map(
			strict.Field{Name: "name", Decode: word(&name)},
			strict.Field{Name: "issuer", Decode: word(&i.Issuer)},
			strict.Field{Name: "subject", Decode: word(&i.Subject)},
			strict.Field{Name: "repositories", Decode: repositories(&i.Repositories)},
		)
		switch {
		case !item.IsMap():
		case i.Issuer == "" || i.Subject == "":
			item.Fail("an identity needs an issuer and a subject", "such as issuer: https://token.actions.githubusercontent.com, subject: https://github.com/example/images/.github/workflows/release.yml@refs/tags/*")
		case strings.Trim(i.Subject, "*") == "":
			item.Fail("this subject stands for everybody", "name the workflow or the address of the signer")
		default:
			p.Identities = append(p.Identities, i)
		}
	}
}

func (p *parser) require(n strict.Node) {
	for _, item := range n.List("attestations") {
		var r Requirement
		item.Map(
			strict.Field{Name: "type", Decode: func(n strict.Node) { r.Name, r.Type = predicate(n) }},
			strict.Field{Name: "max_age", Decode: age(&r.MaxAge)},
		)
		switch {
		case !item.IsMap():
		case r.Name == "":
			item.Fail("which attestation?", "give type: tested, provenance, spdx, cyclonedx or the address of a predicate type")
		case r.MaxAge > 0 && r.Type != TypeTested:
			item.Fail("only test results have a date that can be checked", "remove max_age here, or use max_age of the policy, which is about the image")
		default:
			p.Require = append(p.Require, r)
		}
	}
}

// predicate reads the type of an attestation.
func predicate(n strict.Node) (name, kind string) {
	text, ok := n.Text()
	if !ok {
		return "", ""
	}
	if kind, known := shortTypes()[text]; known {
		return text, kind
	}
	if !strings.Contains(text, "://") {
		n.Fail(fmt.Sprintf("%q is no type of attestation", strict.Printable(text)), "want tested, provenance, spdx, cyclonedx or the address of a predicate type")
	}
	return text, text
}

func word(to *string) func(strict.Node) {
	return func(n strict.Node) { *to, _ = n.Text() }
}

// repositories reads patterns. An empty list would mean "nowhere" to one reader and
// "everywhere" to another.
func repositories(to *[]string) func(strict.Node) {
	return func(n strict.Node) {
		for _, item := range n.List("repositories") {
			text, ok := item.Text()
			switch {
			case !ok:
			case text != Files && text != "*" && !strings.Contains(text, "/"):
				item.Fail(fmt.Sprintf("%q names no repository", strict.Printable(text)), "want HOST/NAME without a tag, such as registry.example.org/edge/*, or files")
			case strings.Contains(text, "@") || strings.Contains(text[strings.LastIndexByte(text, '/')+1:], ":"):
				item.Fail(fmt.Sprintf("%q has a tag or a digest", strict.Printable(text)), "a repository has neither")
			default:
				*to = append(*to, text)
			}
		}
		if n.IsList() && len(*to) == 0 {
			n.Fail("the list of repositories is empty", "leave the key out to trust it everywhere, or remove the whole entry")
		}
	}
}

// age reads a duration in days: 90d.
func age(to *time.Duration) func(strict.Node) {
	return func(n strict.Node) {
		text, ok := n.Text()
		if !ok {
			return
		}
		days, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
		if err != nil || !strings.HasSuffix(text, "d") || days < 1 || days > maxDays {
			n.Fail(fmt.Sprintf("%q is no number of days", strict.Printable(text)), "write it such as 90d")
			return
		}
		*to = time.Duration(days) * day
	}
}

const (
	day     = 24 * time.Hour
	maxDays = 36500
)
