// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"

	"golang.org/x/net/http2"
)

// ErrNoCertificates means that an engine was to be served over TCP to everybody.
var ErrNoCertificates = errors.New("whoever reaches a builder has the rights of its user on this machine: over tcp:// it needs --builder-certs FOLDER, with ca.pem, cert.pem and key.pem, and lets in those with a certificate of that authority; or listen on unix://PATH")

// Listen opens the place where Serve answers: unix://PATH, which only the user may open, or
// tcp://HOST:PORT, where clients show a certificate that the authority of o.TLS has signed.
func Listen(address string, o Options) (net.Listener, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil: // as below
	case u.Scheme == "unix" && u.Path != "":
		l, err := net.Listen("unix", u.Path)
		if err != nil {
			return nil, fmt.Errorf("listening on %s: %w; if no builder runs there any more, remove that file", address, err)
		}
		if err := os.Chmod(u.Path, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("listening on %s: %w", address, err), l.Close())
		}
		return l, nil
	case u.Scheme == "tcp" && u.Port() != "":
		config, err := o.TLS.withDir().server()
		if err != nil {
			return nil, fmt.Errorf("listening on %s: %w", address, err)
		}
		l, err := tls.Listen("tcp", u.Host, config)
		if err != nil {
			return nil, fmt.Errorf("listening on %s: %w", address, err)
		}
		return l, nil
	}
	return nil, fmt.Errorf("%q is no address to listen on: give unix://PATH or tcp://HOST:PORT", address)
}

// server is the configuration of a server that wants certificates of its clients.
func (t TLS) server() (*tls.Config, error) {
	if t.CACert == "" || t.Cert == "" || t.Key == "" {
		return nil, ErrNoCertificates
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("the builder's certificate: %w", err)
	}
	data, err := os.ReadFile(t.CACert)
	if err != nil {
		return nil, fmt.Errorf("the authority of the builder's clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("the authority of the builder's clients: no certificate in %s", t.CACert)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS12, NextProtos: []string{http2.NextProtoTLS},
	}, nil
}

// Serve lets others build with the embedded engine of this machine, until ctx ends. It closes
// the listener. Builds that run then are interrupted.
func Serve(ctx context.Context, o Options, l net.Listener) (err error) {
	o.Builder = ""
	e, err := Open(ctx, o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var open sync.WaitGroup
	defer open.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()                                   // ends the clients' connections before their end is awaited
	context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept tells
	for {
		from, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serving builds: %w", err)
		}
		open.Go(func() { e.pass(ctx, from) })
	}
}

// pass connects a client with the engine, until one of them or ctx ends.
func (e *Engine) pass(ctx context.Context, from net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	to, err := dialSocket(ctx, e.state)
	if err != nil {
		e.log.Warn(fmt.Sprintf("a client of the builder, %s: %v", from.RemoteAddr(), err))
		_ = from.Close()
		return
	}
	context.AfterFunc(ctx, func() { _, _ = from.Close(), to.Close() })
	go func() {
		defer cancel()
		_, _ = io.Copy(to, from) // an end of the connection is no error
	}()
	_, _ = io.Copy(from, to)
}
