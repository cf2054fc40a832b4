// SPDX-License-Identifier: Apache-2.0

package arguments

const dataDir = "/var/lib/rancher/k3s"

func logging() []Flag {
	return concat(
		[]Flag{{Name: "config", Short: "c", Kind: String, Env: "K3S_CONFIG_FILE", Default: defaultFile}},
		[]Flag{{Name: "debug", Kind: Bool, Env: "K3S_DEBUG"}},
		[]Flag{{Name: "v", Kind: Int, Default: "0"}},
		flags(String, "vmodule", "log,l"),
		flags(Bool, "alsologtostderr"),
	)
}

func server() []Flag {
	return concat(
		flags(String, "bind-address"),
		[]Flag{{Name: "https-listen-port", Kind: Int, Default: "6443"}},
		flags(String, "advertise-address"),
		flags(Int, "advertise-port"),
		flags(List, "tls-san"),
		[]Flag{{Name: "tls-san-security", Kind: Bool, Default: "true"}},
		[]Flag{{Name: "data-dir", Short: "d", Kind: String, Env: "K3S_DATA_DIR", Default: dataDir}},
		[]Flag{{Name: "cluster-cidr", Kind: List, Default: "10.42.0.0/16"}},
		[]Flag{{Name: "service-cidr", Kind: List, Default: "10.43.0.0/16"}},
		[]Flag{{Name: "service-node-port-range", Kind: String, Default: "30000-32767"}},
		[]Flag{{Name: "cluster-dns", Kind: List, Default: "10.43.0.10"}},
		[]Flag{{Name: "cluster-domain", Kind: String, Default: "cluster.local"}},
		[]Flag{{Name: "flannel-backend", Kind: String, Default: "vxlan"}},
		flags(Bool, "flannel-ipv6-masq", "flannel-external-ip"),
		[]Flag{{Name: "egress-selector-mode", Kind: String, Default: "agent"}},
		[]Flag{{Name: "servicelb-namespace", Kind: String, Default: "kube-system"}},
		[]Flag{{Name: "write-kubeconfig", Short: "o", Kind: String, Env: "K3S_KUBECONFIG_OUTPUT"}},
		[]Flag{{Name: "write-kubeconfig-mode", Kind: String, Env: "K3S_KUBECONFIG_MODE"}},
		[]Flag{{Name: "write-kubeconfig-group", Kind: String, Env: "K3S_KUBECONFIG_GROUP"}},
		flags(String, "helm-job-image"),
		joining(),
		[]Flag{{Name: "agent-token", Kind: String, Env: "K3S_AGENT_TOKEN"}},
		[]Flag{{Name: "agent-token-file", Kind: String, Env: "K3S_AGENT_TOKEN_FILE"}},
		[]Flag{{Name: "cluster-init", Kind: Bool, Env: "K3S_CLUSTER_INIT"}},
		[]Flag{{Name: "cluster-reset", Kind: Bool, Env: "K3S_CLUSTER_RESET"}},
		flags(String, "cluster-reset-restore-path"),
		flags(List, "kube-apiserver-arg", "etcd-arg", "kube-controller-manager-arg", "kube-scheduler-arg", "kube-cloud-controller-manager-arg"),
		hidden(flags(List, "kube-controller-arg", "kube-cloud-controller-arg")),
	)
}

// joining are the flags that a server and an agent share to find a cluster.
func joining() []Flag {
	return []Flag{
		{Name: "token", Short: "t", Kind: String, Env: "K3S_TOKEN"},
		{Name: "token-file", Kind: String, Env: "K3S_TOKEN_FILE"},
		{Name: "server", Short: "s", Kind: String, Env: "K3S_URL"},
	}
}

func datastore() []Flag {
	return concat(
		[]Flag{
			{Name: "datastore-endpoint", Kind: String, Env: "K3S_DATASTORE_ENDPOINT"},
			{Name: "datastore-cafile", Kind: String, Env: "K3S_DATASTORE_CAFILE"},
			{Name: "datastore-certfile", Kind: String, Env: "K3S_DATASTORE_CERTFILE"},
			{Name: "datastore-keyfile", Kind: String, Env: "K3S_DATASTORE_KEYFILE"},
		},
		flags(Bool, "etcd-expose-metrics", "etcd-disable-snapshots"),
		[]Flag{{Name: "etcd-snapshot-schedule-cron", Kind: String, Default: "0 */12 * * *"}},
	)
}

func snapshots() []Flag {
	return concat(
		[]Flag{{Name: "etcd-snapshot-name", Kind: String, Default: "etcd-snapshot"}},
		[]Flag{{Name: "etcd-snapshot-retention", Kind: Int, Default: "5"}},
		flags(String, "etcd-snapshot-dir"),
		flags(Bool, "etcd-snapshot-compress"),
		s3(),
	)
}

func s3() []Flag {
	return concat(
		flags(Bool, "etcd-s3", "etcd-s3-skip-ssl-verify", "etcd-s3-insecure"),
		flags(String, "etcd-s3-endpoint", "etcd-s3-endpoint-ca", "etcd-s3-bucket", "etcd-s3-region", "etcd-s3-folder", "etcd-s3-proxy", "etcd-s3-config-secret", "etcd-s3-timeout"),
		[]Flag{{Name: "etcd-s3-access-key", Kind: String, Env: "AWS_ACCESS_KEY_ID"}},
		[]Flag{{Name: "etcd-s3-secret-key", Kind: String, Env: "AWS_SECRET_ACCESS_KEY"}},
	)
}

func components() []Flag {
	return concat(
		flags(String, "default-local-storage-path"),
		flags(List, "disable"),
		flags(Bool, "disable-scheduler", "disable-cloud-controller", "disable-kube-proxy", "disable-network-policy", "disable-helm-controller"),
		hidden(flags(Bool, "disable-apiserver", "disable-controller-manager", "disable-etcd", "disable-agent")),
		flags(Bool, "embedded-registry", "supervisor-metrics", "secrets-encryption", "enable-pprof"),
		[]Flag{{Name: "system-default-registry", Kind: String, Env: "K3S_SYSTEM_DEFAULT_REGISTRY"}},
	)
}

func agent() []Flag {
	return concat(
		joining(),
		[]Flag{{Name: "data-dir", Short: "d", Kind: String, Env: "K3S_DATA_DIR", Default: dataDir}},
		flags(Bool, "disable-apiserver-lb"),
	)
}

// node are the flags of what runs on every node.
func node() []Flag {
	return concat(
		[]Flag{{Name: "node-name", Kind: String, Env: "K3S_NODE_NAME"}},
		flags(Bool, "with-node-id", "protect-kernel-defaults", "rootless", "prefer-bundled-bin", "disable-default-registry-endpoint", "docker"),
		flags(List, "node-label", "node-taint", "node-ip,i", "node-external-ip", "node-internal-dns", "node-external-dns", "kubelet-arg", "kube-proxy-arg"),
		[]Flag{{Name: "image-credential-provider-bin-dir", Kind: String, Default: "/var/lib/rancher/credentialprovider/bin"}},
		[]Flag{{Name: "image-credential-provider-config", Kind: String, Default: "/var/lib/rancher/credentialprovider/config.yaml"}},
		[]Flag{{Name: "selinux", Kind: Bool, Env: "K3S_SELINUX"}},
		[]Flag{{Name: "lb-server-port", Kind: Int, Env: "K3S_LB_SERVER_PORT", Default: "6444"}},
		flags(String, "container-runtime-endpoint", "default-runtime", "image-service-endpoint"),
		[]Flag{{Name: "pause-image", Kind: String, Default: "rancher/mirrored-pause:3.6"}},
		[]Flag{{Name: "snapshotter", Kind: String, Default: "overlayfs"}},
		[]Flag{{Name: "private-registry", Kind: String, Default: "/etc/rancher/k3s/registries.yaml"}},
		hidden(flags(List, "airgap-extra-registry")),
		[]Flag{{Name: "resolv-conf", Kind: String, Env: "K3S_RESOLV_CONF"}},
		flags(String, "flannel-iface", "flannel-conf", "flannel-cni-conf"),
		[]Flag{{Name: "vpn-auth", Kind: String, Env: "K3S_VPN_AUTH"}},
		[]Flag{{Name: "vpn-auth-file", Kind: String, Env: "K3S_VPN_AUTH_FILE"}},
	)
}

func snapshotCommand() []Flag {
	return concat(
		[]Flag{{Name: "data-dir", Short: "d", Kind: String, Env: "K3S_DATA_DIR", Default: dataDir}},
		[]Flag{{Name: "node-name", Kind: String, Env: "K3S_NODE_NAME"}},
		flags(String, "etcd-server", "etcd-token"),
		[]Flag{{Name: "name", Kind: String, Default: "on-demand"}},
		[]Flag{{Name: "snapshot-dir", Kind: String}, {Name: "dir", Kind: String}},
		flags(Bool, "snapshot-compress", "etcd-snapshot-compress"),
		[]Flag{{Name: "snapshot-retention", Kind: Int, Default: "5"}},
		flags(String, "etcd-snapshot-dir", "output,o"),
		joining(),
		s3(),
	)
}

func tokenCommand() []Flag {
	return concat(
		[]Flag{{Name: "data-dir", Short: "d", Kind: String, Env: "K3S_DATA_DIR", Default: dataDir}},
		[]Flag{{Name: "kubeconfig", Kind: String, Env: "KUBECONFIG"}},
		flags(String, "description", "usages", "groups", "output,o", "new-token"),
		[]Flag{{Name: "ttl", Kind: String, Default: "24h0m0s"}},
		joining(),
	)
}
