// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Key is a key pair for one test. It is never stored.
type Key struct {
	signer ssh.Signer
}

// NewKey makes an Ed25519 key.
func NewKey() (Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("making an SSH key: %w", err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return Key{}, fmt.Errorf("making an SSH key: %w", err)
	}
	return Key{signer}, nil
}

// Authorized is the public half as a line of authorized_keys, without a newline.
func (k Key) Authorized() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.signer.PublicKey())))
}

// Signer is the private half.
func (k Key) Signer() ssh.Signer { return k.signer }

// A Login holds a user's credentials. Password is used if Signer is nil.
type Login struct {
	User     string
	Signer   ssh.Signer
	Password string
}

func (l Login) config(hostKey *ssh.PublicKey) *ssh.ClientConfig {
	auth := ssh.Password(l.Password)
	if l.Signer != nil {
		auth = ssh.PublicKeys(l.Signer)
	}
	return &ssh.ClientConfig{
		User: l.User,
		Auth: []ssh.AuthMethod{auth},
		// The first boot makes the host key, so it is unknown before. The caller gets it.
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			*hostKey = key
			return nil
		},
	}
}

// A Client runs commands in the guest.
type Client struct {
	conn    *ssh.Client
	HostKey ssh.PublicKey // as the guest sent it
}

const (
	sshRetry   = 500 * time.Millisecond
	sshAttempt = 30 * time.Second // for one connection: key exchange is slow in an emulated guest
)

// SSH logs in to the guest's port 22. It tries again until it succeeds, ctx ends, QEMU
// ends, or the console shows a fault.
func (v *VM) SSH(ctx context.Context, l Login) (*Client, error) {
	port := v.Port(22)
	if port == 0 {
		return nil, errors.New("SSH to the guest: Config.Forwards does not name port 22")
	}
	var last error
	for {
		if err := v.healthy(); err != nil {
			return nil, err
		}
		client, err := dial(ctx, fmt.Sprintf("127.0.0.1:%d", port), l)
		if err == nil {
			return client, nil
		}
		last = err
		select {
		case <-time.After(sshRetry):
		case <-v.Done():
		case <-ctx.Done():
			what := fmt.Sprintf("SSH as %s on port %d (last try: %v)", l.User, port, last)
			return nil, &TimeoutError{what, v.ConsoleLog, v.Console().Tail(tailLines), ctx.Err()}
		}
	}
}

// healthy is nil while QEMU runs and the console shows no fault.
func (v *VM) healthy() error {
	select {
	case <-v.Done():
		return v.endError(ErrEnded)
	default:
		return v.Console().fault()
	}
}

// dial makes one attempt. It closes the connection if ctx ends meanwhile.
func dial(ctx context.Context, address string, l Login) (*Client, error) {
	attempt, cancel := context.WithTimeout(ctx, sshAttempt)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(attempt, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(attempt, func() { raw.Close() })
	defer stop()
	var client Client
	conn, channels, requests, err := ssh.NewClientConn(raw, address, l.config(&client.HostKey))
	if err != nil {
		return nil, errors.Join(err, ignoreClosed(raw.Close()))
	}
	client.conn = ssh.NewClient(conn, channels, requests)
	return &client, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// An Output is the output of a command and its exit status.
type Output struct {
	Stdout, Stderr string
	Exit           int // exit status; -1 if a signal ended it
}

// Run runs a program of the guest with these arguments and no input. An exit status other
// than 0 is no error; a lost connection is.
func (c *Client) Run(ctx context.Context, argv ...string) (Output, error) {
	return c.RunInput(ctx, "", argv...)
}

// RunInput is Run with text for the program's standard input.
func (c *Client) RunInput(ctx context.Context, input string, argv ...string) (Output, error) {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	out, err := c.run(input, argv)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return out, fmt.Errorf("running %s in the guest: %w", strings.Join(argv, " "), err)
	}
	return out, nil
}

func (c *Client) run(input string, argv []string) (Output, error) {
	session, err := c.conn.NewSession()
	if err != nil {
		return Output{}, err
	}
	defer session.Close() // its only error is that it is closed already
	var stdout, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(input), &stdout, &stderr
	err = session.Run(shellQuote(argv))
	out := Output{Stdout: stdout.String(), Stderr: stderr.String()}
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		out.Exit = exit.ExitStatus()
		if exit.Signal() != "" {
			out.Exit = -1
		}
		return out, nil
	}
	return out, err
}

// Close ends the connection.
func (c *Client) Close() error { return ignoreClosed(c.conn.Close()) }

// shellQuote joins arguments into one line that a POSIX shell splits into them again.
func shellQuote(argv []string) string {
	quoted := make([]string, len(argv))
	for i, arg := range argv {
		quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
