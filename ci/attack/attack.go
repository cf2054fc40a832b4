// SPDX-License-Identifier: Apache-2.0

// Package attack is what somebody tries who controls a registry, the way to it, or a key
// that was once trusted. Each scenario is a row of a table: what the registry has, how it
// lies, and the reason that a node must give when it refuses. The tests run the agent's
// program as a process of its own, with `upgrade --root`, against a registry on loopback and
// a node whose disk is a folder of files. They require that
//
//   - no attack is accepted, and the reason is named;
//   - the disk is byte for byte as before. Where a layer of a trusted image turns out wrong
//     only while it is written, which a registry can arrange, that does not hold for the slot
//     that was being written: it is marked bad, and nothing else has changed;
//   - the process takes less than MaxMemory;
//   - the tag is asked for once.
//
// The same node then installs an honest image, so a node that refuses everything fails.
package attack

// MaxMemory is how much memory an upgrade may take, in bytes, whatever the registry does.
const MaxMemory = 200 << 20
