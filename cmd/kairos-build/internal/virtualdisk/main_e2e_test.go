// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package virtualdisk

import (
	"os"
	"testing"

	"github.com/kairos-build/kairos-build/ci/ownmounts"
)

func TestMain(m *testing.M) { os.Exit(ownmounts.Run(m)) }
