// SPDX-License-Identifier: Apache-2.0

package config

// packageFields are the keys of cloud-init about packages. Hypervisors write them into
// user-data unasked (Proxmox VE: package_upgrade: true), so they are no mistake.
var packageFields = []field[Config]{
	noted[Config]("package_reboot_if_required", "Whether to restart after packages were installed. Packages come with images, so nothing is.", aBool),
	noted[Config]("package_update", "Whether to update the lists of packages. Packages come with images: this is ignored, with a warning.", ofImages(aBool)),
	noted[Config]("package_upgrade", "Whether to upgrade packages. Packages come with images: this is ignored, with a warning. A node is upgraded as a whole.", ofImages(aBool)),
	noted[Config]("packages", "Packages to install. Packages come with images: these are ignored, with a warning. They belong into the flavor of the image.", ofImages(anything)),
}

// ofImages is a key that asks a node for what only an image brings. The value false asks
// for nothing.
func ofImages[V any](k kind[V]) kind[V] {
	return kind[V]{k.shape, func(v value) (V, bool) {
		x, ok := k.get(v)
		if on, isBool := any(x).(bool); ok && (on || !isBool) {
			v.Report(Warning, "has no effect: packages come with images, and the root of a node is read-only",
				"remove the key; `kairos-agent upgrade` brings newer packages, and the flavor of an image names them: docs/flavors.md")
		}
		return x, ok
	}}
}
