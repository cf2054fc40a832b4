// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/engine"
	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/notary"
	"github.com/kairos-build/kairos-build/framework/commandline"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/signing"
)

// Values of --sign and --key that are no key.
const (
	signNew     = "new"     // a key in the state folder, made if there is none
	signKeyless = "keyless" // a certificate
)

// Environment variables. The second ones are those of cosign.
const (
	envPassword       = "KAIROS_BUILD_KEY_PASSWORD"
	envCosignPassword = "COSIGN_PASSWORD"
	envToken          = "KAIROS_BUILD_IDENTITY_TOKEN"
	envCosignToken    = "SIGSTORE_ID_TOKEN"
)

// signerFlags say who signs.
type signerFlags struct {
	passwordFile       string
	token              string
	fulcio, rekor, tsa string
	root               string
	typed              []byte // the password, once it was read or asked for
}

func (f *signerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.passwordFile, "password-file", "", "`file` with the password of the key, - for standard input (default $"+envPassword+", $"+envCosignPassword+", or a question)")
	flags.StringVar(&f.token, "identity-token", "", "keyless: `file` with the identity token, - for standard input (default $"+envToken+", $"+envCosignToken+", or that of a run of GitHub Actions)")
	flags.StringVar(&f.fulcio, "fulcio", signing.PublicFulcio, "keyless: `URL` of the certificate authority")
	flags.StringVar(&f.rekor, "rekor", signing.PublicRekor, "keyless: `URL` of the transparency log; none for no log, with --timestamp alone")
	flags.StringVar(&f.tsa, "timestamp", "", "keyless: `URL` of a timestamp authority")
	flags.StringVar(&f.root, "trusted-root", "", "keyless: `file` with the trusted root, to check each new signature")
}

// A desk is where a signer is opened: what can be asked, and where warnings go.
type desk struct {
	stdin  io.Reader
	stderr io.Writer
	warn   func(string)
	state  func() (string, error) // the state folder
}

func newDesk(cmd *cobra.Command, t *talker) desk {
	return desk{
		stdin: cmd.InOrStdin(), stderr: cmd.ErrOrStderr(), warn: func(text string) { t.log.Warn(text) },
		state: func() (string, error) { return engine.StateDir(engine.FromEnv(engine.Options{}, os.Getenv)) },
	}
}

// open opens the signer that --sign or --key names: a key file, a reference to a key service,
// "new" or "keyless". Everything that a signature needs is checked here.
func (f *signerFlags) open(ctx context.Context, who string, d desk) (*notary.Notary, error) {
	o := signing.Options{Key: who, Warn: d.warn, Now: time.Now} //nolint:forbidigo // certificates end at a time
	var err error
	switch who {
	case signKeyless:
		o.Key = ""
		o.Keyless, err = f.keyless(d)
	case signNew:
		o.Key, err = f.kept(d)
	}
	if err != nil {
		return nil, err
	}
	signer, err := f.unlock(ctx, o, d)
	if err != nil {
		return nil, err
	}
	return notary.New(signer), signer.Check(ctx)
}

// kept is the key in the state folder. It is made if there is none.
func (f *signerFlags) kept(d desk) (string, error) {
	state, err := d.state()
	if err != nil {
		return "", err
	}
	name := filepath.Join(state, "keys", "signing")
	if _, err := os.Stat(name + ".key"); err == nil {
		return name + ".key", nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return "", fmt.Errorf("making a folder for the key: %w; choose another with KAIROS_BUILD_STATE", err)
	}
	password, _, err := f.password(d)
	if err != nil {
		return "", err
	}
	private, public, err := signing.NewKey(name, password)
	if err != nil {
		return "", err
	}
	d.warn(fmt.Sprintf("made the key %s (its public key is %s): keep a copy of it in a safe place. A node of this image takes upgrades that this key signed, and no others. The next build with --sign new uses it again", private, public))
	return private, nil
}

// unlock opens the signer. Without a password it tries the empty one, and then asks on a
// terminal.
func (f *signerFlags) unlock(ctx context.Context, o signing.Options, d desk) (*signing.Signer, error) {
	password, known, err := f.password(d)
	if err != nil {
		return nil, err
	}
	o.Password = func() ([]byte, error) { return password, nil }
	signer, err := signing.Open(ctx, o)
	if known || !errors.Is(err, signing.ErrPassword) {
		return signer, err
	}
	if !isTerminal(d.stdin) {
		return nil, commandline.UsageError{Err: fmt.Errorf("the key %s has a password: give it with --password-file FILE or in $%s", o.Key, envPassword)}
	}
	if password, err = ask(d, "password of "+o.Key+": "); err != nil {
		return nil, err
	}
	o.Warn = nil // said already
	return signing.Open(ctx, o)
}

// password is that of --password-file or of the environment.
func (f *signerFlags) password(d desk) (password []byte, known bool, err error) {
	if f.typed != nil {
		return f.typed, true, nil
	}
	if f.passwordFile != "" {
		text, err := commandline.ReadSecret(d.stdin, f.passwordFile)
		f.typed = []byte(strings.TrimRight(text, "\r\n")) // standard input is read once
		return f.typed, true, err
	}
	for _, name := range []string{envPassword, envCosignPassword} {
		if text, ok := os.LookupEnv(name); ok {
			return []byte(text), true, nil
		}
	}
	return nil, false, nil
}

// ask asks on the terminal; what is typed is not shown.
func ask(d desk, question string) ([]byte, error) {
	fmt.Fprint(d.stderr, question)
	answer, err := term.ReadPassword(int(d.stdin.(*os.File).Fd()))
	fmt.Fprintln(d.stderr)
	return answer, err
}

func isTerminal(r io.Reader) bool {
	file, isFile := r.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// keyless says who vouches for us.
func (f *signerFlags) keyless(d desk) (*signing.Keyless, error) {
	k := &signing.Keyless{Fulcio: f.fulcio, Rekor: f.rekor, TSA: f.tsa, Client: fetch.Client(http.DefaultTransport)}
	if k.Rekor == "none" {
		k.Rekor = ""
	}
	var err error
	if k.Token, err = f.tokens(d); err != nil || f.root == "" {
		return k, err
	}
	if k.Root, err = os.ReadFile(f.root); err != nil {
		return nil, commandline.UsageError{Err: fmt.Errorf("--trusted-root: %w", err)}
	}
	return k, nil
}

// tokens is where identity tokens come from.
func (f *signerFlags) tokens(d desk) (func(context.Context) (string, error), error) {
	if f.token != "" {
		text, err := commandline.ReadSecret(d.stdin, f.token)
		return always(text), err
	}
	for _, name := range []string{envToken, envCosignToken} {
		if text := os.Getenv(name); text != "" {
			return always(text), nil
		}
	}
	address, secret := os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if address != "" && secret != "" {
		return func(ctx context.Context) (string, error) {
			return signing.ActionsToken(ctx, fetch.Client(http.DefaultTransport), address, secret)
		}, nil
	}
	return nil, commandline.UsageError{Err: fmt.Errorf("keyless signing needs an identity token, and there is none: a job of GitHub Actions has one with the permission id-token: write; elsewhere, give it with --identity-token FILE or in $%s, or sign with a key (`kairos-build key FILE` makes one)", envToken)}
}

func always(token string) func(context.Context) (string, error) {
	token = strings.TrimSpace(token)
	return func(context.Context) (string, error) { return token, nil }
}
