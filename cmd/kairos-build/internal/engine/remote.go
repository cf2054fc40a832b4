// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer" // docker-container://
	_ "github.com/moby/buildkit/client/connhelper/kubepod"         // kube-pod://
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer" // podman-container://
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// remoteTimeout is the default of Options.Timeout.
const remoteTimeout = 8 * time.Second

// schemes are those of the builder URLs that openRemote accepts.
func schemes() []string {
	return []string{"unix", "tcp", "docker-container", "podman-container", "kube-pod"}
}

// openRemote connects to the BuildKit at o.Builder and makes sure it answers.
func openRemote(ctx context.Context, o Options) (*Engine, error) {
	if err := checkBuilder(o.Builder); err != nil {
		return nil, err
	}
	guard := newStatusGuard()
	opts, err := tlsOptions(o)
	if err != nil {
		return nil, err
	}
	through, err := dialOptions(o.Builder)
	if err != nil {
		return nil, fmt.Errorf("builder URL %q: %w", o.Builder, err)
	}
	opts = append(opts, through...)
	c, err := client.New(ctx, o.Builder, append(opts, guard.options()...)...)
	if err != nil {
		return nil, &BuilderError{URL: o.Builder, Err: err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("no answer within %s", o.Timeout))
	defer cancel()
	if err := ping(ctx, c); err != nil {
		return nil, errors.Join(&BuilderError{URL: o.Builder, Err: plainReason(ctx, err)}, c.Close())
	}
	return &Engine{client: c, guard: guard, builder: o.Builder, log: o.Log}, nil
}

// ping takes any answer of the builder for success: BuildKit before v0.11 does not
// implement the request.
func ping(ctx context.Context, c *client.Client) error {
	_, err := c.ControlClient().Info(ctx, &controlapi.InfoRequest{})
	if status.Code(err) == codes.Unimplemented {
		return nil
	}
	return err
}

func checkBuilder(builder string) error {
	u, err := url.Parse(builder)
	if err != nil {
		return fmt.Errorf("builder URL: %w", err)
	}
	if !slices.Contains(schemes(), u.Scheme) {
		return fmt.Errorf("builder URL %q: unknown scheme %q, use one of %s://",
			builder, u.Scheme, strings.Join(schemes(), "://, "))
	}
	if u.Host == "" && u.Path == "" {
		return fmt.Errorf("builder URL %q names no builder after %s://", builder, u.Scheme)
	}
	return nil
}

func tlsOptions(o Options) ([]client.ClientOpt, error) {
	t := o.TLS
	if t == (TLS{}) {
		return nil, nil
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, fmt.Errorf("builder %s: a client certificate needs its key, and a key its certificate", o.Builder)
	}
	for _, file := range []string{t.CACert, t.Cert, t.Key} {
		if err := checkReadable(file); err != nil {
			return nil, fmt.Errorf("TLS files for builder %s: %w", o.Builder, err)
		}
	}
	var opts []client.ClientOpt
	if t.Cert != "" {
		opts = append(opts, client.WithCredentials(t.Cert, t.Key))
	}
	if t.CACert == "" {
		return append(opts, client.WithServerConfigSystem(t.ServerName)), nil
	}
	return append(opts, client.WithServerConfig(t.ServerName, t.CACert)), nil
}

func checkReadable(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}

// plainReason strips gRPC's prefixes from an error.
func plainReason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text := err.Error()
	if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	for _, prefix := range []string{"connection error: desc = ", "transport: ", "Error while dialing: "} {
		if _, rest, found := strings.Cut(text, prefix); found {
			text = strings.Trim(rest, `"`)
		}
	}
	return errors.New(text)
}
