// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/kairos-build/kairos-build/framework/strict"
)

// trustFields are the keys about certificate authorities.
var trustFields = []field[Config]{
	{name: "ca_certs", about: "Certificates of authorities that the node trusts, too.", shape: mapping(caFields), decode: decodeCACerts},
	{name: "ca-certs", about: "An older name of ca_certs.", shape: mapping(caFields), decode: decodeCACerts},
}

type caCerts struct{ trusted []string }

var caFields = []field[caCerts]{
	{name: "trusted", about: "Certificates in PEM, one in each item.", shape: listOf(matching(`-----BEGIN CERTIFICATE-----`)).joined(appended), decode: decodeTrusted},
	idle[caCerts]("remove_defaults", "Whether the authorities of the image are not trusted.", aBool),
	idle[caCerts]("remove-defaults", "An older name of remove_defaults.", aBool),
}

func decodeTrusted(v value, c *caCerts) {
	for _, item := range v.list("certificates") {
		s, ok := item.NonEmpty()
		if !ok {
			continue
		}
		if strings.Contains(s, "PRIVATE KEY") {
			item.d.Secret(item.Node)
			item.Fail("this is a private key", "put the certificate here, and make a new key: this one is no secret any more")
			continue
		}
		if err := certificate(s); err != nil {
			item.Fail("not a certificate: "+strict.Printable(err.Error()), "give one certificate in PEM, from BEGIN to END")
			continue
		}
		c.trusted = append(c.trusted, strings.TrimSpace(s)+"\n")
	}
}

func certificate(text string) error {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return errors.New("no PEM block")
	case block.Type != "CERTIFICATE":
		return fmt.Errorf("a PEM block of the type %q", block.Type)
	case strings.TrimSpace(string(rest)) != "":
		return errors.New("more than one PEM block")
	}
	_, err := x509.ParseCertificate(block.Bytes)
	return err
}

// caStores are the places where distributions look for authorities, and the programs
// that read them.
var caStores = []struct{ program, dir string }{
	{"/usr/sbin/update-ca-certificates", "/usr/local/share/ca-certificates"},
	{"/usr/bin/update-ca-trust", "/etc/pki/ca-trust/source/anchors"},
}

func decodeCACerts(v value, _ *Config) {
	var c caCerts
	if decodeMap(v, caFields, &c); len(c.trusted) == 0 {
		return
	}
	for _, store := range caStores {
		s := Step{IfFiles: IfFiles{All: []string{store.program}}}
		for i, cert := range c.trusted {
			s.Files = append(s.Files, etcFile(v, fmt.Sprintf("%s/kairos-config-%d.crt", store.dir, i+1), cert, 0o644))
		}
		s.Commands = []Text{v.textOf(store.program)}
		v.step("boot", s)
	}
}

// sshFields are about the SSH server of the node.
var sshFields = []field[Config]{
	{name: "disable_root", about: "Whether root cannot log in over SSH at all. The default is no: with a key it can.", shape: boolShape, decode: decodeDisableRoot},
	idle[Config]("ssh_deletekeys", "Whether the host keys are made anew for a new instance. They are kept, so that clients know the node again.", aBool),
	{name: "ssh_keys", about: "SSH host keys of the node.", shape: mapping(hostKeyFields), decode: func(v value, _ *Config) { decodeMap(v, hostKeyFields, &checked{}) }},
}

// decodeDisableRoot writes a file that sshd reads before that of the image: sshd uses
// the first value that it finds.
func decodeDisableRoot(v value, _ *Config) {
	if b, ok := v.Boolean(); ok && b {
		v.step("fs", Step{Files: []StepFile{etcFile(v, "/run/kairos/sshd_config.d/20-disable-root.conf", "# From disable_root of the cloud-config.\nPermitRootLogin no\n", 0o644)}})
	}
}

var hostKeyFields = func() []field[checked] {
	var out []field[checked]
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		file := "/etc/ssh/ssh_host_" + kind + "_key"
		out = append(out,
			field[checked]{name: kind + "_private", about: "The private key.", shape: matching(`PRIVATE KEY-----`), decode: func(v value, _ *checked) { v.ownHostKey(file, 0o600, privateKey) }}.hidden(),
			field[checked]{name: kind + "_public", about: "The public key.", shape: givenShape, decode: func(v value, _ *checked) { v.ownHostKey(file+".pub", 0o644, publicKey) }},
			unused[checked](kind+"_certificate", "A certificate for the key."))
	}
	return out
}()

func (v value) ownHostKey(path string, mode uint32, problem func(string) string) {
	s, ok := v.NonEmpty()
	if !ok {
		return
	}
	if message := problem(s); message != "" {
		v.Fail(message, "give the whole content of the file")
		return
	}
	v.step("fs", Step{Files: []StepFile{etcFile(v, path, strings.TrimSpace(s)+"\n", mode)}})
}

func privateKey(text string) string {
	if _, err := ssh.ParseRawPrivateKey([]byte(text)); err != nil {
		return "not a private key that sshd can use"
	}
	return ""
}

func publicKey(text string) string {
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text)); err != nil {
		return "not an SSH public key"
	}
	return ""
}
