// SPDX-License-Identifier: Apache-2.0

package config

import (
	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// Kinds of values that several keys of Kairos share.
var (
	imageSource = lazyregexp.New(`^(oci|dir|file|ocifile|docker|container|channel|system):.+|^[A-Za-z0-9][A-Za-z0-9._/:@-]*$`)
	aSource     = formed(imageSource, "a source of an image", "oci:registry.example.org/edge/debian-13:v1")
	aDevice     = formed(lazyregexp.New(`^(auto|/dev/.+|script://.+)$`), "a device", "auto or /dev/vda")
	anImage     = object(imageFields)
	stringMap   = mapped(aScalar)
)

// aVariables are variables in the forms that env takes.
var aVariables = kind[checked]{either(mapOf(scalarShape), listOf(matching(`^[A-Za-z_][A-Za-z0-9_]*=`))), func(v value) (checked, bool) {
	var c Config
	decodeEnv(v, &c)
	return checked{}, true
}}

var imageFields = []field[checked]{
	check("size", "The size in MiB.", aSize),
	check("fs", "The file system.", aGiven),
	check("label", "Its label.", aGiven),
	check("uri", "Where the image is.", aSource),
	check("source", "Where the image is.", aSource),
}

var partitionFields = []field[checked]{
	check("name", "The name of the partition.", aGiven),
	check("label", "The label of its file system.", aGiven),
	check("size", "The size in MiB; 0 is the rest of the disk.", aSize),
	check("fs", "The file system.", aGiven),
	check("flags", "Flags of the partition.", many("flags", aGiven)),
	check("mountpoint", "Where it is mounted.", aPath),
}

var partitionsFields = []field[checked]{
	check("oem", "The partition of the configs.", object(partitionFields)),
	check("persistent", "The partition of the data.", object(partitionFields)),
	check("recovery", "The partition of the recovery system.", object(partitionFields)),
	check("state", "The partition of the systems.", object(partitionFields)),
	check("bios", "The partition of the boot loader for BIOS.", object(partitionFields)),
	check("efi", "The partition of the boot loader for UEFI.", object(partitionFields)),
}

var bundleFields = []field[checked]{
	check("targets", "The bundles, such as run://registry.example.org/bundle:v1.", many("targets", aGiven)),
	check("repository", "The registry and the folder that targets stand in.", aGiven),
	check("rootfs_path", "Where they are unpacked.", aPath),
	check("db_path", "Where the database of packages is.", aPath),
	check("local_file", "Whether targets are files.", aBool),
}

// aBundle is a bundle, or, as in older files, its target alone.
var aBundle = eitherOf(object(bundleFields), aGiven)

var resetFields = []field[checked]{
	check("reboot", "Whether the node restarts afterwards.", aBool),
	check("poweroff", "Whether the node is switched off afterwards.", aBool),
	check("reset-oem", "Whether the configs go, too.", aBool),
	check("reset-persistent", "Whether the data goes.", aBool),
	check("system", "The image of the system.", anImage),
	check("passive", "The image of the other slot.", anImage),
	check("grub-entry-name", "The name in the boot menu.", aGiven),
	check("tty", "The console of the system.", aGiven),
	check("extra-dirs-rootfs", "Directories that are made in the root.", many("paths", aPath)),
}

var kcryptFields = []field[checked]{
	check("challenger", "The server that hands out keys of disks.", object([]field[checked]{
		check("challenger_server", "Its URL.", aURL),
		check("mdns", "Whether it is looked for on the local network.", aBool),
		check("certificate", "The certificate of its authority.", aGiven),
		check("nv_index", "The place in the TPM.", aGiven),
		check("c_index", "The place of the certificate in the TPM.", aGiven),
		check("tpm_device", "The device of the TPM.", aPath),
	})),
	check("nv_index", "The place in the TPM.", aGiven),
	check("c_index", "The place of the certificate in the TPM.", aGiven),
	check("tpm_device", "The device of the TPM.", aPath),
}

// kairosFields are other keys of Kairos.
var kairosFields = []field[Config]{
	{name: "install", about: "How this machine is installed: docs/install.md.", shape: mapping(installFields), decode: decodeInstall},
	idle[Config]("reset", "What a reset goes by. kairos-agent reset has flags.", object(resetFields)),
	idle[Config]("bundles", "Bundles that are installed at boot.", many("bundles", aBundle)),
	idle[Config]("fail_on_bundles_errors", "Whether a bundle that cannot be installed stops the node.", aBool),
	idle[Config]("grub_options", "Variables of the boot loader.", stringMap),
	idle[Config]("kcrypt", "How disks are encrypted.", object(kcryptFields)),
	idle[Config]("tpm_device", "The device of the TPM.", aPath),
	idle[Config]("debug", "Whether the agent says more.", aBool),
	idle[Config]("logs", "What a support archive holds.", object([]field[checked]{
		check("journal", "Units whose journal it has.", many("units", aGiven)),
		check("files", "Files that it has.", many("files", aGiven)),
	})),
	idle[Config]("cosign", "Whether signatures are checked. A node of ours goes by its policy.", aBool),
	idle[Config]("cosign-key", "The key of signatures.", aGiven),
	idle[Config]("verify", "Whether images are checked.", aBool),
	idle[Config]("arch", "The architecture.", aGiven),
	idle[Config]("eject-cd", "Whether the medium is ejected.", aBool),
	keep("bind-pcrs", "Registers of the TPM that the keys of encrypted partitions are bound to when a machine is installed; by default 7. An empty list binds them to the TPM alone.", replacing(many("registers", aRegister)), func(c *Config) *[]int { return &c.BindPCRs }),
	idle[Config]("bind-public-pcrs", "Registers of the TPM that are bound with a signature.", many("registers", aScalar)),
	idle[Config]("uki-max-entries", "The number of boot entries that are kept.", anInt),
	field[Config]{name: "config_url", about: "Where one more config is fetched from, over HTTP or HTTPS: docs/datasources.md.", shape: urlShape, decode: func(v value, c *Config) { set(v, &c.ConfigURL, value.configURL) }}.hidden(),
	keep("cloud-init-paths", "More directories with config files, read after the others.", many("directories", aPath), func(c *Config) *[]string { return &c.CloudInitPaths }),
}
