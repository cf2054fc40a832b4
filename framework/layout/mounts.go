// SPDX-License-Identifier: Apache-2.0

package layout

import "strings"

// Mount points of the data partitions.
const (
	MountOEM        = "/oem"
	NotesDir        = MountOEM + "/.kairos" // the node's records about itself, for all its slots
	MountPersistent = "/usr/local"
	// StateDir holds the writable side of every persistent path.
	StateDir = MountPersistent + "/.state"
)

// Ephemeral lists the directories that are overlays with the upper side on a tmpfs.
// They are writable; a reboot restores what the image has.
func Ephemeral() []string { return []string{"/etc", "/media", "/mnt", "/srv", "/var"} }

// WritableWords tells people where a node can write.
const WritableWords = "what can be written is below /etc, /var, /srv, /mnt, /media, /opt, /root, /home, /run, /oem and /usr/local"

// Persistent lists the paths that are kept across boots, below an ephemeral
// directory or in the read-only root. Each is a bind mount of Bind(path). The list
// is that of Kairos. A path outside the ephemeral directories is skipped when the
// image does not have it.
func Persistent() []string {
	return []string{
		"/etc/cni", "/etc/iscsi", "/etc/k0s", "/etc/kubernetes", "/etc/modprobe.d",
		"/etc/rancher", "/etc/ssh", "/etc/ssl/certs", "/etc/sysconfig", "/etc/systemd", "/etc/zfs",
		"/home", "/opt", "/root", "/usr/libexec",
		"/var/cores", "/var/lib/ca-certificates", "/var/lib/cni", "/var/lib/containerd",
		"/var/lib/calico", "/var/lib/dbus", "/var/lib/etcd", "/var/lib/extensions",
		"/var/lib/confexts", "/var/lib/k0s", "/var/lib/kubelet", "/var/lib/longhorn",
		"/var/lib/osd", "/var/lib/rancher", "/var/lib/rook", "/var/lib/tailscale",
		"/var/lib/wicked", "/var/lib/kairos", "/var/log",
	}
}

// Bind is where a persistent path is stored: /etc/ssh in
// /usr/local/.state/etc-ssh.bind, as in Kairos.
func Bind(path string) string {
	return StateDir + "/" + strings.ReplaceAll(strings.Trim(path, "/"), "/", "-") + ".bind"
}

// Paths inside an image that the builder and the node agree on.
const (
	ImageKernel  = "/boot/vmlinuz"
	ImageInitrd  = "/boot/initrd"
	ImageRelease = "/etc/kairos-release"
	// ImagePolicy says which images a node trusts (framework/source/policy).
	ImagePolicy = "/etc/kairos/policy.yaml"
	// ImageCmdline holds the kernel arguments of the image: one line.
	ImageCmdline = "/usr/lib/kairos/cmdline"
	// ImageBoot holds the boot loader, in the form that framework/grub/bootloader defines.
	ImageBoot = "/usr/lib/kairos/bootloader"
	// ImageKubernetes holds the version of the k3s or k0s in the image, one line such as
	// v1.34.1+k3s1. An image without Kubernetes does not have it.
	ImageKubernetes = "/usr/lib/kairos/kubernetes"
	// ImageRoot has the format of the root image, EROFS or SquashFS, and a line that says
	// why: a step of the build chose it by the kernel. LabelRoot repeats it.
	ImageRoot = "/usr/lib/kairos/root-image"
	// ImageKubernetesArguments lists the arguments that this k3s or k0s takes, in the form
	// that framework/machine/kubernetes/arguments defines.
	ImageKubernetesArguments = "/usr/lib/kairos/kubernetes-arguments"
	// ImageKubernetesImages holds the archives of the publisher's container images, for
	// nodes without a registry. An image made without them does not have it.
	ImageKubernetesImages = "/usr/lib/kairos/kubernetes-images"
)

// Annotations of an image's manifest: the builder's record of what a node makes from
// the layers. The root hash counts only if the salt is that of the image's layers:
// a program that adds a layer often keeps the old annotations. The sizes always count.
const (
	// AnnotationRootSalt has the salt of the hash tree, 64 lower-case hex
	// digits. It is made from the diff IDs of the layers (slotimage.Identity).
	AnnotationRootSalt = "io.kairos.verity.salt"
	// AnnotationRootHash has the verity root hash, 64 lower-case hex digits.
	AnnotationRootHash = "io.kairos.verity.roothash"
	// AnnotationRootSize has the size of the root image with the hash tree, in bytes.
	AnnotationRootSize = "io.kairos.verity.size"
	// AnnotationBootSize has the total size of the files in a slot's boot partition,
	// in bytes.
	AnnotationBootSize = "io.kairos.boot.size"
)

// LabelPrefix begins the names of our own labels. Other tools set labels too, and may
// overwrite those of the OCI specification.
const LabelPrefix = "io.kairos."

// LabelKubernetes has the line of ImageKubernetes, so that a reader of the image needs no
// layer.
const LabelKubernetes = LabelPrefix + "kubernetes"

// LabelRoot is the format of the root image: SquashFS; without the label it is EROFS.
const LabelRoot = LabelPrefix + "root"

// ReleaseLabels maps keys of ImageRelease to the labels that repeat their values, so
// that a reader of the image needs no layer. Where they differ, the file counts.
func ReleaseLabels() map[string]string {
	return map[string]string{
		"KAIROS_VERSION":        LabelPrefix + "version",
		"KAIROS_ARCH":           LabelPrefix + "arch",
		"KAIROS_FAMILY":         LabelPrefix + "family",
		"KAIROS_MODEL":          LabelPrefix + "model",
		"KAIROS_FLAVOR":         LabelPrefix + "distribution",
		"KAIROS_FLAVOR_RELEASE": LabelPrefix + "distribution-release",
	}
}

// ConfigDirs are the directories that are searched for *.yaml configuration, in merge order:
// of the image, of the medium of a live system, of the node.
func ConfigDirs() []string {
	return []string{"/system/oem", LiveDir, MountOEM, MountPersistent + "/cloud-config"}
}
