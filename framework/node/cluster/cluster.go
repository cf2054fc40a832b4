// SPDX-License-Identifier: Apache-2.0

// Package cluster asks the API of a cluster about this node: is it Ready, in this boot
// and with the Kubernetes of its image? It uses the certificates that k3s and k0s have
// made for the node, and changes nothing.
//
// After a reboot the API says Ready until the kubelet has reported once or was silent
// for long: what it says is from the boot before. So a node is ready only if
//
//	status.nodeInfo.bootID          is that of this boot
//	status.nodeInfo.kubeletVersion  is the version in the image
//	status.conditions               have Ready=True
//
// A control plane without a kubelet is no node of the cluster. It is ready if its own API
// server says so at /readyz and has the version of the image.
package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/kairos-build/kairos-build/framework/fetch"
	"github.com/kairos-build/kairos-build/framework/machine/kubernetes"
	"github.com/kairos-build/kairos-build/framework/machine/tree"
	"github.com/kairos-build/kairos-build/framework/source/release"
)

// This is the boot that is asked about.
type This struct {
	Root     tree.Root
	Member   kubernetes.Member
	BootID   string // of the kernel
	Hostname string // the node's name, unless its certificate or the config has another
}

// Ready returns nil if the node is ready; otherwise the error says why not.
func (t This) Ready(ctx context.Context) error {
	c, err := t.connect()
	if err != nil {
		return err
	}
	if !t.Member.Kubelet {
		return t.controlPlane(ctx, c)
	}
	name := t.name(c)
	var n node
	if err := c.object(ctx, "/api/v1/nodes/"+url.PathEscape(name), "the cluster has no node "+name+" yet", &n); err != nil {
		return err
	}
	return t.judge(name, n)
}

// APIVersion asks the API server for its version of Kubernetes, such as v1.34.1+k3s1.
func (t This) APIVersion(ctx context.Context) (string, error) {
	c, err := t.connect()
	if err != nil {
		return "", err
	}
	return c.version(ctx)
}

// name is the node's name in its cluster. The kubelet's certificate is for
// system:node:NAME.
func (t This) name(c *client) string {
	if name, ok := strings.CutPrefix(c.user, "system:node:"); ok {
		return name
	}
	return cmp.Or(t.Member.NodeName, strings.ToLower(t.Hostname))
}

// node is the part of a Node object that is judged.
type node struct {
	Status struct {
		Conditions []struct{ Type, Status, Reason, Message string }
		NodeInfo   struct{ BootID, KubeletVersion string }
	}
}

// judge looks at the boot first: all else may be from the boot before.
func (t This) judge(name string, n node) error {
	info := n.Status.NodeInfo
	switch {
	case info.BootID != t.BootID:
		return fmt.Errorf("the kubelet of node %s has not reported in this boot: what the API has is from boot %q", name, info.BootID)
	case !t.isOurs(info.KubeletVersion):
		return fmt.Errorf("node %s reports Kubernetes %s, this image has %s", name, info.KubeletVersion, t.Member.Version)
	}
	for _, c := range n.Status.Conditions {
		if c.Type != "Ready" {
			continue
		}
		if c.Status == "True" {
			return nil
		}
		return fmt.Errorf("node %s is not Ready: %s", name, orReason(c.Message, c.Reason))
	}
	return fmt.Errorf("node %s is not Ready: its kubelet has reported no condition Ready", name)
}

func orReason(message, reason string) string {
	if message == "" {
		return cmp.Or(reason, "the kubelet gives no reason")
	}
	return message
}

// isOurs tells whether a program of the image reports this version. k0s leaves the
// number of its release out: v1.34.1+k0s for v1.34.1+k0s.0.
func (t This) isOurs(version string) bool {
	v := t.Member.Version
	return version == v.String() || v.Distribution() == release.K0s && version == v.Kubernetes()+"+k0s"
}

// controlPlane judges the API server of a node without a kubelet.
func (t This) controlPlane(ctx context.Context, c *client) error {
	status, body, err := c.get(ctx, "/readyz")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the API server at %s is not ready: %s", c.server, firstFailure(body, status))
	}
	version, err := c.version(ctx)
	if err != nil {
		return err
	}
	if !t.isOurs(version) {
		return fmt.Errorf("the API server at %s has Kubernetes %s, this image has %s", c.server, version, t.Member.Version)
	}
	return nil
}

// firstFailure is the first failed check in an answer of /readyz: lines such as
// "[-]etcd failed: reason withheld".
func firstFailure(body []byte, status int) string {
	for line := range strings.Lines(string(body)) {
		if check, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			return check
		}
	}
	return fmt.Sprintf("answer %d", status)
}

// A client asks one API.
type client struct {
	server, user string
	http         *http.Client
}

// connect reads the first kubeconfig that is there.
func (t This) connect() (*client, error) {
	for _, name := range t.Member.Kubeconfigs {
		a, err := readKubeconfig(t.Root.Read, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("only root can ask the API: %w", err)
		case err != nil:
			return nil, err
		}
		web := fetch.Client(&http.Transport{TLSClientConfig: a.tls, DisableKeepAlives: true})
		web.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return &client{server: a.server, user: a.user, http: web}, nil
	}
	return nil, fmt.Errorf("%s has not written %s yet; see `journalctl -b -u %s`", t.Member.Version.Distribution(), strings.Join(t.Member.Kubeconfigs, " or "), t.Member.Unit)
}

// maxBody is the size of the largest answer, in bytes. A node object lists images.
const maxBody = 4 << 20

func (c *client) get(ctx context.Context, path string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.server, "/")+path, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := c.http.Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, nil, fmt.Errorf("the API at %s has not answered in time", fetch.Shown(c.server))
	}
	if err != nil {
		return 0, nil, fmt.Errorf("the API at %s does not answer: %w", fetch.Shown(c.server), fetch.Reason(err))
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("it has more than %d bytes", maxBody)
	}
	if err != nil {
		err = fmt.Errorf("reading the answer of the API at %s: %w", fetch.Shown(c.server), err)
	}
	return answer.StatusCode, body, err
}

func (c *client) version(ctx context.Context) (string, error) {
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	err := c.object(ctx, "/version", "the API has no version", &v)
	return v.GitVersion, err
}

// object reads an object; missing is said if there is none.
func (c *client) object(ctx context.Context, path, missing string, into any) error {
	status, body, err := c.get(ctx, path)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound:
		return errors.New(missing)
	case status != http.StatusOK:
		return fmt.Errorf("the API at %s answers %d to %s%s", c.server, status, path, reason(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the API at %s answers %s with something else than an object: %w", c.server, path, err)
	}
	return nil
}

// reason is the message of a Status object, which the API sends with an error.
func reason(body []byte) string {
	var s struct{ Message string }
	if json.Unmarshal(body, &s) != nil || s.Message == "" {
		return ""
	}
	return ": " + s.Message
}
