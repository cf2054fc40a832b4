// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kairos-build/kairos-build/framework/source/release"
)

// A distribution is how k3s or k0s is configured for the test: one node that is both
// control plane and worker, with nothing that needs a registry.
type distribution struct {
	key     string   // of the config
	program string   // that has kubectl
	unit    string   // of systemd
	args    []string // of the role
	etcd    []string // more arguments, for a cluster whose datastore is etcd
	more    string   // one more argument, which changes the config
	data    string   // the data directory
	secrets []string // files that only root may read
}

func distributions() map[release.Distribution]distribution {
	return map[release.Distribution]distribution{
		release.K3s: {
			key: "k3s", program: "k3s", unit: "k3s.service", more: "--node-label=kairos.example/more=yes", data: "/var/lib/rancher/k3s",
			args: []string{
				"--disable=coredns", "--disable=local-storage", "--disable=metrics-server", "--disable=servicelb", "--disable=traefik",
				"--token=" + secret,
			},
			etcd:    []string{"--cluster-init"},
			secrets: []string{"/etc/rancher/k3s/config.yaml.d/90-kairos.yaml", "/var/lib/rancher/k3s/server/manifests/kairos/" + objectName + ".yaml"},
		},
		release.K0s: {
			key: "k0s", program: "k0s", unit: "k0scontroller.service", more: "--disable-components=metrics-server", data: "/var/lib/k0s",
			args:    []string{"--enable-worker", "--no-taints"},
			secrets: []string{"/var/lib/k0s/manifests/kairos/" + objectName + ".yaml"},
		},
	}
}

const (
	secret      = "kairos-acceptance-token"
	objectName  = "kairos-acceptance"
	objectWords = "written by a config"
	objectPath  = "/api/v1/namespaces/default/configmaps/" + objectName
	// podPath leads through the API server and the node's network to the pod.
	podPath = "/api/v1/namespaces/default/pods/http:" + objectName + ":8080/proxy/"
	server  = "kairos-build/server:1" // an image for tests, which answers over HTTP
)

// manifests are an object that every API stores, and a pod, which waits for its image
// where there is none.
const manifests = `    kairos-acceptance: |
      apiVersion: v1
      kind: ConfigMap
      metadata: { name: kairos-acceptance, namespace: default }
      data: { words: written by a config }
      ---
      apiVersion: v1
      kind: Pod
      metadata: { name: kairos-acceptance, namespace: default }
      spec:
        containers:
          - { name: server, image: "` + server + `", imagePullPolicy: Never }
`

// config is the cloud-config of the role, with more arguments.
func (d distribution) config(more ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "#cloud-config\nhealth: { kubernetes: ready, timeout: 1h }\n%s:\n  enabled: true\n  args:\n", d.key)
	for _, arg := range slices.Concat(d.args, more) {
		fmt.Fprintf(&b, "    - %q\n", arg)
	}
	b.WriteString("  manifests:\n" + manifests)
	return []byte(b.String())
}
