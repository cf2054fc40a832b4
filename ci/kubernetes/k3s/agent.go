// SPDX-License-Identifier: Apache-2.0

package k3s

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/kairos-build/kairos-build/ci/kubernetes/k3s/arguments"
)

// agent is `k3s agent`. It checks its arguments, waits for the server, and compares the
// server's authority with the token. What comes then, the joining, is not in the stand-in.
func (p Program) agent(ctx context.Context, values *arguments.Values) error {
	if os.Getuid() != 0 {
		return errors.New("agent must be run as root, or with --rootless")
	}
	token, err := givenToken(values)
	switch {
	case err != nil:
		return err
	case token == "":
		return errors.New("--token is required")
	case values.String("server") == "":
		return errors.New("--server is required")
	}
	if err := ensurePassword(nodePassword); err != nil {
		return err
	}
	p.Log.Info("Starting k3s agent " + p.Release.Version)
	if err := p.waitForServer(ctx, values.String("server"), authorityOf(token)); err != nil {
		return quiet(ctx, err)
	}
	return errors.New("this stand-in for k3s has one node: an agent does not join")
}

func (p Program) waitForServer(ctx context.Context, url, want string) error {
	for {
		hash, err := authorityHash(ctx, url)
		if err == nil {
			if want != "" && hash != want {
				return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", want, hash)
			}
			return nil
		}
		p.Log.Error(fmt.Sprintf("validating connection to cluster at %s: %v", url, err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
		}
	}
}

// authorityHash reads a server's authority without trust, as k3s does.
func authorityHash(ctx context.Context, url string) (string, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the hash is compared with the token
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/cacerts", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", errors.New(response.Status)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
