// SPDX-License-Identifier: Apache-2.0

// Package tpm seals a secret with a TPM 2.0, so that only this TPM gives it back, and only
// while registers of it (PCRs) have the values that they had. It writes and reads tokens of
// LUKS2 headers in the form of systemd-cryptenroll ("systemd-tpm2"), so that systemd's tools
// can use what we seal, and we what they sealed.
//
// What travels to the TPM and back is encrypted with a key that both agree on, so that
// somebody who listens on the wires between processor and chip does not read the secret.
package tpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
)

// device is the kernel's resource manager for the first TPM, in /dev. It exists for TPMs
// of version 2.0 only.
const device = "tpmrm0"

var (
	// ErrAbsent says that the machine has no TPM 2.0.
	ErrAbsent = errors.New("this machine has no TPM 2.0")
	// ErrRegisters says that the registers of the TPM differ from those at the sealing.
	ErrRegisters = errors.New("registers of the TPM differ from those that the key was bound to")
	// ErrOther says that another TPM sealed the secret.
	ErrOther = errors.New("the key was sealed by another TPM, or the TPM was cleared since")
	// ErrUnsupported says that a token needs what this package does not do.
	ErrUnsupported = errors.New("not supported in a token of a TPM")
)

// Exists tells whether the directory dev (/dev) has a TPM 2.0.
func Exists(dev string) bool {
	found, err := filepath.Glob(filepath.Join(dev, device))
	return err == nil && len(found) > 0
}

// A Chip is the TPM of a machine. Close it.
type Chip struct{ transport.TPMCloser }

// Open opens the TPM in the directory dev (/dev).
func Open(dev string) (Chip, error) {
	if !Exists(dev) {
		return Chip{}, ErrAbsent
	}
	t, err := linuxtpm.Open(filepath.Join(dev, device))
	return Chip{t}, err
}

// Seal is the function Seal with this TPM.
func (c Chip) Seal(secret []byte, pcrs []int) (Token, error) { return Seal(c, secret, pcrs) }

// Unseal is the function Unseal with this TPM.
func (c Chip) Unseal(token Token) ([]byte, error) { return Unseal(c, token) }

// nonceSize of sessions, in bytes.
const nonceSize = 16

// Seal seals a secret of at most 128 bytes. It is bound to the present values of the
// registers pcrs; without any, to the TPM alone.
func Seal(t transport.TPM, secret []byte, pcrs []int) (Token, error) {
	return Token{Type: TokenType, PCRs: append([]int{}, pcrs...), Bank: bank, PrimaryAlg: primaryAlg}.seal(t, secret)
}

// seal completes a token.
func (t Token) seal(tpm transport.TPM, secret []byte) (Token, error) {
	p, err := t.parent(tpm)
	if err != nil {
		return Token{}, err
	}
	defer p.flush()
	digest, err := policyNow(tpm, t.PCRs)
	if err != nil {
		return Token{}, err
	}
	created, err := tpm2.Create{
		ParentHandle: p.handle(tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize, tpm2.AESEncryption(128, tpm2.EncryptIn), tpm2.Salted(p.object, p.public))),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret}),
		}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true},
			AuthPolicy:       tpm2.TPM2BDigest{Buffer: digest},
		}),
	}.Execute(tpm)
	if err != nil {
		return Token{}, fmt.Errorf("sealing with the TPM: %w", err)
	}
	t.Blob = slices.Concat(tpm2.Marshal(created.OutPrivate), tpm2.Marshal(created.OutPublic))
	t.setPolicy(digest)
	return t, nil
}

// Unseal gives the secret back. Errors are ErrRegisters, ErrOther, ErrUnsupported, and those
// of the TPM.
func Unseal(t transport.TPM, token Token) ([]byte, error) {
	private, public, err := token.blob()
	if err != nil {
		return nil, err
	}
	p, err := token.parent(t)
	if err != nil {
		return nil, err
	}
	defer p.flush()
	loaded, err := tpm2.Load{
		ParentHandle: p.handle(tpm2.PasswordAuth(nil)), InPrivate: private, InPublic: public,
	}.Execute(t)
	if err != nil {
		return nil, explain("loading the sealed key", err)
	}
	defer flush(t, loaded.ObjectHandle)
	policy := func(t transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		return extend(t, session, token.PCRs)
	}
	unsealed, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{
		Handle: loaded.ObjectHandle, Name: loaded.Name,
		Auth: tpm2.Policy(tpm2.TPMAlgSHA256, nonceSize, policy, tpm2.AESEncryption(128, tpm2.EncryptOut), tpm2.Salted(p.object, p.public)),
	}}.Execute(t)
	if err != nil {
		return nil, explain(fmt.Sprintf("unsealing the key, which is bound to %s", Words(token.PCRs)), err)
	}
	return unsealed.OutData.Buffer, nil
}

// explain names the two usual reasons.
func explain(doing string, err error) error {
	switch {
	case errors.Is(err, tpm2.TPMRCPolicyFail), errors.Is(err, tpm2.TPMRCValue):
		return fmt.Errorf("%s: %w (%w)", doing, ErrRegisters, err)
	case errors.Is(err, tpm2.TPMRCIntegrity), errors.Is(err, tpm2.TPMRCHandle):
		return fmt.Errorf("%s: %w (%w)", doing, ErrOther, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Words name registers for people.
func Words(pcrs []int) string {
	if len(pcrs) == 0 {
		return "no register"
	}
	return fmt.Sprintf("the registers %v", pcrs)
}

// A parent is the key of the TPM that a sealed object is under.
type parent struct {
	tpm    transport.TPM
	object tpm2.TPMHandle
	name   tpm2.TPM2BName
	public tpm2.TPMTPublic
	made   bool // for us, and not there for ever
}

// parent finds the key in the TPM that a token names, or makes it again from the TPM's seed,
// as systemd did before version 254.
func (t Token) parent(tpm transport.TPM) (*parent, error) {
	if len(t.SRK) >= 4 {
		// A handle in the form of Esys_TR_Serialize of tpm2-tss begins with its number.
		return existing(tpm, tpm2.TPMHandle(binary.BigEndian.Uint32(t.SRK)))
	}
	if t.PrimaryAlg != primaryAlg {
		return nil, fmt.Errorf("%w: a primary key of the kind %q: want %s", ErrUnsupported, t.PrimaryAlg, primaryAlg)
	}
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(primary())}.Execute(tpm)
	if err != nil {
		return nil, fmt.Errorf("making the primary key of the TPM: %w", err)
	}
	p := &parent{tpm: tpm, object: made.ObjectHandle, name: made.Name, made: true}
	return p, p.read(made.OutPublic)
}

func existing(tpm transport.TPM, object tpm2.TPMHandle) (*parent, error) {
	read, err := tpm2.ReadPublic{ObjectHandle: object}.Execute(tpm)
	if err != nil {
		return nil, explain(fmt.Sprintf("reading the key %#x of the TPM", uint32(object)), err)
	}
	p := &parent{tpm: tpm, object: object, name: read.Name}
	return p, p.read(read.OutPublic)
}

func (p *parent) read(public tpm2.TPM2BPublic) error {
	content, err := public.Contents()
	if err == nil {
		p.public = *content
	}
	return err
}

func (p *parent) handle(auth tpm2.Session) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: p.object, Name: p.name, Auth: auth}
}

func (p *parent) flush() {
	if p.made {
		flush(p.tpm, p.object)
	}
}

// flush frees a place in the TPM. The kernel's resource manager does it too, when the device
// is closed.
func flush(t transport.TPM, handle tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: handle}.Execute(t)
}

// primary is systemd's template (src/shared/tpm2-util.c, tpm2_get_legacy_template): the
// storage key of the TCG for elliptic curves, but subject to the lockout.
func primary() tpm2.TPMTPublic {
	template := tpm2.ECCSRKTemplate
	template.ObjectAttributes.NoDA = false
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return template
}

// policyNow is the digest of a policy that the present values of registers fulfil.
func policyNow(t transport.TPM, pcrs []int) ([]byte, error) {
	if err := checkBank(t, pcrs); err != nil {
		return nil, err
	}
	session, end, err := tpm2.PolicySession(t, tpm2.TPMAlgSHA256, nonceSize, tpm2.Trial())
	if err != nil {
		return nil, fmt.Errorf("beginning a session with the TPM: %w", err)
	}
	defer func() { _ = end() }() // the resource manager ends it too
	if err := extend(t, session.Handle(), pcrs); err != nil {
		return nil, fmt.Errorf("reading %s of the TPM: %w", Words(pcrs), err)
	}
	digest, err := tpm2.PolicyGetDigest{PolicySession: session.Handle()}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("reading a policy of the TPM: %w", err)
	}
	return digest.PolicyDigest.Buffer, nil
}

// checkBank refuses registers that the TPM does not have: it would ignore them.
func checkBank(t transport.TPM, pcrs []int) error {
	for _, pcr := range pcrs {
		read, err := tpm2.PCRRead{PCRSelectionIn: selection([]int{pcr})}.Execute(t)
		if err != nil || len(read.PCRValues.Digests) != 1 {
			return fmt.Errorf("the TPM does not have the register %d with SHA-256: switch that bank on in the firmware, or choose other registers (%w)", pcr, errors.Join(err, ErrUnsupported))
		}
	}
	return nil
}

func extend(t transport.TPM, session tpm2.TPMISHPolicy, pcrs []int) error {
	if len(pcrs) == 0 {
		return nil
	}
	_, err := tpm2.PolicyPCR{PolicySession: session, Pcrs: selection(pcrs)}.Execute(t)
	return err
}

func selection(pcrs []int) tpm2.TPMLPCRSelection {
	var list []uint
	for _, p := range pcrs {
		list = append(list, uint(p))
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(list...)}}}
}
