// SPDX-License-Identifier: Apache-2.0

package layout

// LabelLive is the file system label of an installer medium.
const LabelLive = "COS_LIVE"

// The live tree is what a live system starts from. It is the same on a CD-ROM, on a stick
// and in an initramfs:
//
//	/kairos/root.img  the bytes of a slot's root partition: EROFS and its hash tree
//	/kairos/…         the files of a slot's boot partition: BootKernel, BootInitrd, BootLabel
//	                  and those of the boot loader
//	/kairos/bootloader/  the files of ImageBoot, which no root has: for the installer
//	/*.yaml           cloud-configs
const (
	LiveTree       = "kairos" // directory in the tree
	LiveRoot       = LiveTree + "/root.img"
	LiveBootLoader = LiveTree + "/bootloader"
	LiveSpace      = LiveTree + "/config.space" // room for LiveConfig, twice: see docs/iso.md
	// LiveConfig is the cloud-config that can be replaced in a finished ISO.
	LiveConfig = "config.yaml"
)

const (
	// LiveDir is where a running live system has its tree, as Kairos has its medium.
	LiveDir = "/run/initramfs/live"
	// LiveInitramfsDir is where the tree is in an initramfs.
	LiveInitramfsDir = "/live"
)
