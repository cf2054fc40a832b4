// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"slices"

	// The key management services. Each registers its scheme.
	_ "github.com/sigstore/sigstore/pkg/signature/kms/aws"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/azure"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/gcp"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault"
)

// schemes are the references to keys that are not files.
func schemes() []string {
	return []string{"awskms://", "azurekms://", "gcpkms://", "hashivault://", "k8s://", "gitlab://", "env://"}
}

func isKnownScheme(scheme string) bool { return slices.Contains(schemes(), scheme+"://") }
