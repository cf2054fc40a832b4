// SPDX-License-Identifier: Apache-2.0

package layout

// Keys of the kernel command line that the initramfs and the agent read.
const (
	// ArgSlot names the slot that the boot loader chose: a, b or recovery.
	ArgSlot = "kairos.slot"
	// ArgMode is why the boot loader chose it: one of the Mode constants.
	ArgMode = "kairos.mode"
	// ArgDisk is the PARTUUID, in lower case, of the EFI partition that the machine
	// booted from. The initramfs looks for partitions on that disk only.
	ArgDisk = "kairos.disk"
	// ArgEnv is the slot state that the boot loader left when it started the kernel;
	// slot.ParseArg reads it. It tells the disk from copies of it.
	ArgEnv = "kairos.env"
	// ArgRootHash is the dm-verity root hash of the slot, 64 hex digits.
	ArgRootHash = "kairos.roothash"
	// ArgHashOffset is the offset, in bytes, of the verity superblock in the
	// root partition, which is also the length of the EROFS image.
	ArgHashOffset = "kairos.hashoffset"
	// ArgLive starts a live system in place of a slot: LiveMedium or LiveInitramfs. There
	// are no ArgSlot, ArgMode, ArgDisk and ArgEnv then.
	ArgLive = "kairos.live"
	// ArgRAM, which has no value, has a live system copy its medium to memory and let it go.
	ArgRAM = "kairos.ram"
	// ArgInstall and ArgInteractive are what a person chose in the menu of an installer
	// medium, as in Kairos; they have no value.
	ArgInstall     = "install-mode"
	ArgInteractive = "install-mode-interactive"
	// ArgReset, which has no value, resets a node that was booted from recovery, without a
	// question, as in Kairos. A person chooses it in the boot menu of the disk.
	ArgReset = "kairos.reset"
)

// The values of ArgLive: where /init finds the live tree.
const (
	LiveMedium    = "medium"    // on a file system labelled LabelLive, of any device
	LiveInitramfs = "initramfs" // in the initramfs itself, in LiveInitramfsDir
)

// BootArgs lists the keys that are set at boot. No image may set one of them.
func BootArgs() []string {
	return []string{ArgSlot, ArgMode, ArgDisk, ArgEnv, ArgRootHash, ArgHashOffset, ArgLive, ArgRAM, ArgReset}
}

// A Mode says in which role a slot was booted.
type Mode string

// The modes. Each has a marker file in RunDir, named by Marker.
const (
	ModeActive   Mode = "active"   // the slot that is good, or on trial
	ModePassive  Mode = "passive"  // the other slot, after a fallback or on request
	ModeRecovery Mode = "recovery" // the recovery slot
	ModeLive     Mode = "live"     // an installer medium
)

// RunDir holds what the initramfs tells the rest of the system.
const RunDir = "/run/cos"

// Marker is the absolute path of the file that exists when m was booted.
func (m Mode) Marker() string { return RunDir + "/" + string(m) + "_mode" }

// StateFile is a JSON document (framework/slot/thisboot) that the initramfs writes
// and `kairos-agent status` reads.
const StateFile = RunDir + "/boot.json"
