// SPDX-License-Identifier: Apache-2.0

package layout

import "strings"

// Mount points of the data partitions.
const (
	MountOEM        = "/oem"
	NotesDir        = MountOEM + "/.kairos" // what a node notes about itself, for all its slots
	MountPersistent = "/usr/local"
	// StateDir holds the writable side of every persistent path.
	StateDir = MountPersistent + "/.state"
)

// Ephemeral lists the directories that are overlays with their upper side on a
// tmpfs: writable, and as in the image again after a reboot.
func Ephemeral() []string { return []string{"/etc", "/media", "/mnt", "/srv", "/var"} }

// WritableWords says where a node can write, for people.
const WritableWords = "what can be written is below /etc, /var, /srv, /mnt, /media, /opt, /root, /home, /run, /oem and /usr/local"

// Persistent lists the paths below an ephemeral directory (or directories of
// the read-only root) that are kept across boots: each is bound from Bind(path).
// The list is that of Kairos. A path that the image does not have and that is
// not below an ephemeral directory is skipped.
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
	// ImageCmdline holds the kernel arguments of the image: one line.
	ImageCmdline = "/usr/lib/kairos/cmdline"
	// ImageBoot holds the boot loader, as framework/grub/bootloader says.
	ImageBoot = "/usr/lib/kairos/bootloader"
)

// Annotations of an image's manifest: the builder's record of what is made from
// the layers, and what a node has to get too. It counts only when its salt is
// that of the image's layers: programs that add a layer to an image often keep
// the annotations of the old one.
const (
	// AnnotationRootSalt has the salt of the hash tree, 64 lower-case hex
	// digits. It is made from the names of the layers (slotimage.Identity).
	AnnotationRootSalt = "io.kairos.verity.salt"
	// AnnotationRootHash has its verity root hash, 64 lower-case hex digits.
	AnnotationRootHash = "io.kairos.verity.roothash"
	// AnnotationRootSize has its size with the hash tree, in bytes.
	AnnotationRootSize = "io.kairos.verity.size"
	// AnnotationBootSize has the size of the files of a slot's boot partition,
	// in bytes.
	AnnotationBootSize = "io.kairos.boot.size"
)

// LabelPrefix begins the names of the labels that are ours. Others set labels as
// well: those of the OCI specification mean what whoever wrote them last means.
const LabelPrefix = "io.kairos."

// ReleaseLabels are the labels that say what ImageRelease says, by the key there.
// They are for those who look at an image without reading its layers; where they
// differ, the file counts.
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

// ConfigDirs are the directories that are searched for *.yaml configuration, in merge order.
func ConfigDirs() []string {
	return []string{"/system/oem", MountOEM, MountPersistent + "/cloud-config"}
}
