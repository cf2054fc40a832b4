// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/kairos-build/kairos-build/framework/config"
	"github.com/kairos-build/kairos-build/framework/machine/report"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
)

const sshdProgram = "/usr/sbin/sshd"

// PasswordConfig is read by sshd through the Include line of our drop-in. It is
// on a tmpfs, so it always comes from the config of this boot.
const PasswordConfig = "/run/kairos/sshd_config.d/10-password.conf"

// sshd applies ssh_pwauth, for all users and for single users.
func (m *Machine) sshd(c *config.Config) {
	origin := c.Origins["ssh_pwauth"]
	data := passwordLogins(c)
	if data == nil {
		if changed, err := m.Root.Remove(PasswordConfig); changed || err != nil {
			m.finish("sshd", "password logins", changed, err, origin)
		}
		return
	}
	changed, err := m.Root.Replace(PasswordConfig, tree.File{Data: data, Mode: 0o644})
	m.finish("sshd", "password logins", changed, err, origin)
}

// passwordLogins is the content of PasswordConfig; nil: no file. A Match block of
// an included file ends with the file, see sshd_config(5).
func passwordLogins(c *config.Config) []byte {
	if c.SSHPasswordAuth == nil && len(c.PasswordLogins) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("# From ssh_pwauth of the cloud-config.\n")
	if c.SSHPasswordAuth != nil {
		b.WriteString("PasswordAuthentication " + yesNo(*c.SSHPasswordAuth) + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(c.PasswordLogins)) {
		b.WriteString("Match User " + name + "\n\tPasswordAuthentication " + yesNo(c.PasswordLogins[name]) + "\n")
	}
	return []byte(b.String())
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// hostKey is a kind of SSH host key.
type hostKey struct {
	name     string // as in ssh_host_NAME_key
	generate func(random io.Reader) (crypto.PrivateKey, error)
}

// hostKeyKinds are generated at the first boot. RSA is left out on purpose: every
// client since OpenSSH 6.5 (2014) knows Ed25519, and generating an RSA key takes
// seconds on a slow processor. An RSA key that a user installs is used.
var hostKeyKinds = []hostKey{
	{"ed25519", func(random io.Reader) (crypto.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(random)
		return key, err
	}},
	{"ecdsa", func(random io.Reader) (crypto.PrivateKey, error) {
		return ecdsa.GenerateKey(elliptic.P256(), random)
	}},
}

// hostKeys generates the missing host keys. It also replaces keys that a power cut
// left empty or half written, because sshd refuses to start with them.
func (m *Machine) hostKeys() {
	if !m.Root.Exists(sshdProgram) {
		return
	}
	for _, k := range hostKeyKinds {
		outcome, note, err := m.hostKey(k)
		if err != nil {
			outcome, note = report.Failed, explain(err)
		}
		m.done("hostkey", k.name, outcome, config.Position{}, note)
	}
}

func (m *Machine) hostKey(k hostKey) (outcome report.Outcome, note string, err error) {
	path := "/etc/ssh/ssh_host_" + k.name + "_key"
	data, err := m.Root.Read(path)
	var locked *ssh.PassphraseMissingError
	signer, parseErr := ssh.ParsePrivateKey(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m.newHostKey(k, path, report.Created, "")
	case err != nil:
		return "", "", err
	case errors.As(parseErr, &locked):
		return "", "", fmt.Errorf("%s has a passphrase: sshd cannot use it", path)
	case parseErr != nil:
		return m.newHostKey(k, path, report.Changed, "the key was damaged and has been made anew: clients will ask")
	}
	changed, err := m.writeKeyPair(path, data, signer.PublicKey())
	if changed {
		return report.Changed, "mode or public key set right", err
	}
	return report.Unchanged, "", err
}

func (m *Machine) newHostKey(k hostKey, path string, outcome report.Outcome, note string) (report.Outcome, string, error) {
	key, err := k.generate(m.Random)
	if err != nil {
		return "", "", fmt.Errorf("making a host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return "", "", fmt.Errorf("making a host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return "", "", fmt.Errorf("making a host key: %w", err)
	}
	if _, err := m.writeKeyPair(path, pem.EncodeToMemory(block), signer.PublicKey()); err != nil {
		return "", "", err
	}
	return outcome, note, nil
}

// writeKeyPair writes a private key and its public half, unless both are correct
// already. The comment of a correct public key is kept.
func (m *Machine) writeKeyPair(path string, private []byte, public ssh.PublicKey) (changed bool, err error) {
	changed, err = m.Root.Replace(path, tree.File{Data: private, Mode: 0o600})
	if err != nil {
		return changed, err
	}
	have, err := m.Root.Read(path + ".pub")
	if err == nil && samePublicKey(have, public) {
		return changed, nil
	}
	_, err = m.Root.Replace(path+".pub", tree.File{Data: ssh.MarshalAuthorizedKey(public), Mode: 0o644})
	return true, err
}

func samePublicKey(line []byte, want ssh.PublicKey) bool {
	got, _, _, _, err := ssh.ParseAuthorizedKey(line)
	return err == nil && bytes.Equal(got.Marshal(), want.Marshal()) && strings.HasSuffix(string(line), "\n")
}
