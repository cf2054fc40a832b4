// SPDX-License-Identifier: Apache-2.0

// release makes a release of kairos-build itself from a commit: a program for each
// platform, checksums, bills of materials, provenance and signatures. `make release` calls
// it; docs/release.md describes the files.
//
// The programs are compiled from a copy of the commit. So neither changes that are not
// committed, nor the folder, nor what was compiled before can be in them. Everything but the
// signatures has the same bytes each time. It publishes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kairos-build/kairos-build/cmd/kairos-build/internal/evidence"
	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/signing"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// options say what to release.
type options struct {
	repository string // folder of a clone
	commit     string
	version    string
	arches     []string
	output     string // folder
	goCommand  string
	builder    string // URI of who makes the release
	signing    signingOptions
}

// run makes a release, and prints the checksums of its files.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Fprintf(stderr, "release: "+format+"\n", args...) }
	src, err := findSource(ctx, o, say)
	if err != nil {
		return err
	}
	signer, err := openSigner(ctx, o.signing, env, say)
	if err != nil {
		return err
	}
	out := folder{o.output}
	if err := out.clear(o.arches); err != nil {
		return err
	}
	release, err := src.compile(ctx, o, out, say)
	if err != nil {
		return err
	}
	documents, err := evidence.MakeRelease(release)
	if err != nil {
		return err
	}
	return out.finish(ctx, release, documents, signer, stdout)
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var arches string
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.repository, "repository", ".", "`folder` of the clone")
	flags.StringVar(&o.commit, "commit", "HEAD", "`commit` to release")
	flags.StringVar(&o.version, "version", "", "version, such as v1.2.3; a tag of this name must name the commit")
	flags.StringVar(&arches, "arch", "amd64,arm64", "architectures, as Go names them")
	flags.StringVar(&o.output, "o", "", "`folder` for the files")
	flags.StringVar(&o.goCommand, "go", "go", "go `command`")
	flags.StringVar(&o.builder, "builder", "", "`URI` of who makes the release, for the provenance")
	o.signing.add(flags)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.arches = strings.Split(arches, ",")
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.output == "":
		return o, errors.New("no folder for the files: give one with -o")
	}
	var err error
	if o.output, err = filepath.Abs(o.output); err != nil {
		return o, err
	}
	return o, checkArches(o.arches)
}

func checkArches(arches []string) error {
	seen := map[string]bool{}
	for _, arch := range arches {
		if arch != "amd64" && arch != "arm64" {
			return fmt.Errorf("architecture %q: kairos-build is released for amd64 and arm64", arch)
		}
		if seen[arch] {
			return fmt.Errorf("architecture %q is there twice", arch)
		}
		seen[arch] = true
	}
	return nil
}

// signingOptions say who signs the release; the zero value is nobody.
type signingOptions struct {
	who string // file or reference of a key, keyless, or empty
	signing.Keyless
}

func (s *signingOptions) add(flags *flag.FlagSet) {
	flags.StringVar(&s.who, "sign", "", "`key` to sign with (a file, or a reference such as awskms://…), or \"keyless\"; empty: no signature")
	flags.StringVar(&s.Fulcio, "fulcio", signing.PublicFulcio, "`URL` of the certificate authority of keyless signatures")
	flags.StringVar(&s.Rekor, "rekor", signing.PublicRekor, "`URL` of their transparency log")
	flags.StringVar(&s.TSA, "tsa", "", "`URL` of their timestamp authority")
}

// openSigner returns nil if nobody signs. The password of a key file is in COSIGN_PASSWORD.
func openSigner(ctx context.Context, s signingOptions, env func(string) string, say func(string, ...any)) (*signing.Signer, error) {
	o := signing.Options{
		Key: s.who, Warn: func(text string) { say("%s", text) }, Now: time.Now, //nolint:forbidigo // certificates have an end
		Password: func() ([]byte, error) { return []byte(env("COSIGN_PASSWORD")), nil },
	}
	switch s.who {
	case "":
		say("the release is not signed: make release SIGN=KEY signs it")
		return nil, nil
	case "keyless":
		address, secret := env("ACTIONS_ID_TOKEN_REQUEST_URL"), env("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
		if address == "" || secret == "" {
			return nil, errors.New("keyless signing needs the identity of a run of GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN are not set): give the job the permission id-token: write, or sign with a key")
		}
		s.Client = fetch.Client(http.DefaultTransport)
		s.Token = func(ctx context.Context) (string, error) { return signing.ActionsToken(ctx, s.Client, address, secret) }
		o.Key, o.Keyless = "", &s.Keyless
	}
	return signing.Open(ctx, o)
}
