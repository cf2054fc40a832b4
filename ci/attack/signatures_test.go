// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/kairos-build/kairos-build/ci/testimage"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

const tested = "https://in-toto.io/attestation/test-result/v0.1"

// signatures are attacks on who signed.
func signatures() []scenario {
	return []scenario{
		{name: "unsigned", says: "the image is not signed: sign it with `kairos-build sign IMAGE`", setup: func(k *kit) { k.push(image(release())) }},
		{name: "signed by a stranger", says: "not signed by anybody that this node trusts", setup: func(k *kit) { k.sign(k.stranger, k.push(image(release()))) }},
		{name: "signed by a stranger in the new format", says: "not signed by anybody that this node trusts", setup: func(k *kit) {
			image := k.push(image(release()))
			k.attest(k.stranger, image, k.digest(image), testimage.PredicateSign, map[string]any{})
		}},
		{name: "signature copied from another image", says: "this is about another image", setup: func(k *kit) {
			other := image(release("KAIROS_VERSION", "v1.0.9"))
			k.attachTag(k.push(image(release())), must(k.trusted.Legacy(k.digest(other))))
		}},
		{name: "bundle for another digest", says: "this is about another image", setup: func(k *kit) {
			other := image(release("KAIROS_VERSION", "v1.0.9"))
			k.attest(k.trusted, k.push(image(release())), k.digest(other), testimage.PredicateSign, map[string]any{})
		}},
		{name: "the payload of a good signature changed", says: "not signed by anybody that this node trusts", setup: func(k *kit) {
			evil := k.push(image(release()))
			good := must(k.trusted.Legacy(k.digest(image(release("KAIROS_VERSION", "v1.0.9")))))
			forged := must(k.stranger.Legacy(k.digest(evil)))
			notes := must(good.Manifest()).Layers[0].Annotations
			k.attachTag(evil, must(mutate.Append(forgedBase(), mutate.Addendum{Layer: must(forged.Layers())[0], Annotations: notes})))
		}},
		{name: "referrer that claims to be a signature", says: "this is not a signature or attestation that can be read", setup: func(k *kit) {
			image := k.push(image(release()))
			k.attach(must(testimage.Referrer(k.descriptor(image), bundleType, testimage.PredicateSign, []byte(`{"mediaType": "`+bundleType+`"}`))))
		}},
		{name: "referrer of another image, in the list of this one", says: "it does not say that it is about sha256:", setup: func(k *kit) {
			image, other := k.push(image(release())), image(release("KAIROS_VERSION", "v1.0.9"))
			k.attest(k.trusted, other, k.digest(other), testimage.PredicateSign, map[string]any{})
			k.lie = func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
				if !strings.HasSuffix(r.URL.Path, "/referrers/"+k.digest(image).String()) {
					return false
				}
				r.URL.Path = strings.Replace(r.URL.Path, k.digest(image).String(), k.digest(other).String(), 1)
				next.ServeHTTP(w, r)
				return true
			}
		}},
		{name: "an attestation in the place of a signature", says: "the image is not signed", setup: func(k *kit) {
			image := k.push(image(release()))
			k.attest(k.trusted, image, k.digest(image), "https://spdx.dev/Document", map[string]any{})
		}},
		{name: "a signature manifest without signatures", says: "the image is not signed", setup: func(k *kit) {
			k.attachTag(k.push(image(release())), forgedBase())
		}},
		{name: "a layer of a signature without the signature", says: "has no signature", setup: func(k *kit) {
			image := k.push(image(release()))
			signature := must(k.trusted.Legacy(k.digest(image)))
			k.attachTag(image, must(mutate.AppendLayers(forgedBase(), must(signature.Layers())...)))
		}},
		{name: "hundreds of referrers", says: "and 121 more", heavy: true, setup: func(k *kit) {
			image := k.push(image(release()))
			for i := range 140 {
				k.attach(must(testimage.Referrer(k.descriptor(image), bundleType, testimage.PredicateSign, fmt.Append(nil, i))))
			}
		}},
		{name: "a signature of 8 MiB", says: "more than 4194304", setup: func(k *kit) {
			image := k.push(image(release()))
			k.attach(must(testimage.Referrer(k.descriptor(image), bundleType, testimage.PredicateSign, make([]byte, 8<<20))))
		}},
		{name: "a signature that is longer than it says", says: "content is altered", setup: func(k *kit) {
			image := k.trust(image(release()))
			signature := must(k.trusted.Legacy(k.digest(image)))
			k.attachTag(image, signature)
			k.changed(func(b []byte) []byte { return append(b, make([]byte, 64<<20)...) }, k.layerOf(signature, 0))
		}},
		{name: "an index of referrers without end", says: "is not signed", setup: func(k *kit) {
			image := k.push(image(release()))
			k.on(func(w http.ResponseWriter, r *http.Request) { endless(w, r) }, "/referrers/"+k.digest(image).String())
		}},
		{name: "only the image that does not run is signed", says: "the image is not signed", setup: func(k *kit) {
			arm := must(testimage.For(image(release()), "arm64"))
			k.sign(k.trusted, arm)
			k.pushIndex(arm, image(release()))
		}},
	}
}

func forgedBase() v1.Image { return must(testimage.Image()) }

// policies are attacks on a node whose policy is not enough, and images that lack what it
// requires.
func policies() []scenario {
	result := func(result, date string) map[string]any {
		return map[string]any{"result": result, "configuration": []any{map[string]any{"annotations": map[string]string{"date": date}}}}
	}
	today := time.Now().UTC().Format(time.DateOnly)
	wants := "require:\n  - {type: tested, max_age: 30d}\n"
	return []scenario{
		{name: "no policy", says: "this node trusts no image: there is no policy (/etc/kairos/policy.yaml); build the image with `kairos-build flavor NAME --sign", setup: func(k *kit) {
			k.trust(image(release()))
			k.policy = "-"
		}},
		{name: "policy with an empty list", says: "its policy (/etc/kairos/policy.yaml) lists no keys and no identities", setup: func(k *kit) {
			k.trust(image(release()))
			k.policy = "format: 1\nkeys: []\n"
		}},
		{name: "policy with a typo, and none of before", says: "/etc/kairos/policy.yaml:3:5: keys[0].nam: unknown key; did you mean \"name\"?", setup: func(k *kit) {
			k.trust(image(release()))
			k.policy = strings.Replace(k.policy, "- name:", "- nam:", 1)
		}},
		{name: "key of another repository", says: "this node trusts nobody for this repository", setup: func(k *kit) {
			k.trust(image(release()))
			k.policy += "    repositories: [registry.example.org/edge/*]\n"
		}},
		{name: "not tested", says: `no attestation "tested" of somebody who is trusted`, setup: func(k *kit) {
			k.trust(image(release()))
			k.policy += wants
		}},
		{name: "tested by a stranger", says: `no attestation "tested" of somebody who is trusted`, setup: func(k *kit) {
			image := k.trust(image(release()))
			k.attest(k.stranger, image, k.digest(image), tested, result("PASSED", today))
			k.policy += wants
		}},
		{name: "tests that failed", says: `its tests ended with "FAILED"`, setup: func(k *kit) {
			image := k.trust(image(release()))
			k.attest(k.trusted, image, k.digest(image), tested, result("FAILED", today))
			k.policy += wants
		}},
		{name: "tests of another image", says: "this is about another image", setup: func(k *kit) {
			image, other := k.trust(image(release())), image(release("KAIROS_VERSION", "v1.0.9"))
			k.attest(k.trusted, image, k.digest(other), tested, result("PASSED", today))
			k.policy += wants
		}},
		{name: "tests that are too old", says: "its test result is of 2020-01-01, more than 30 days old", setup: func(k *kit) {
			image := k.trust(image(release()))
			k.attest(k.trusted, image, k.digest(image), tested, result("PASSED", "2020-01-01"))
			k.policy += wants
		}},
		{name: "an image that is too old", says: "the image is of 2020-01-01, more than 30 days old", setup: func(k *kit) {
			k.trust(must(mutate.CreatedAt(image(release()), v1.Time{Time: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)})))
			k.policy += "max_age: 30d\n"
		}},
		{name: "an image from the future", says: "the clock of this node is wrong, or a date is", setup: func(k *kit) {
			k.trust(must(mutate.CreatedAt(image(release()), v1.Time{Time: time.Now().AddDate(1, 0, 0)})))
			k.policy += "max_age: 30d\n"
		}},
	}
}

// bindings are good signatures of images that are not for this node, or older, or not what
// was asked for.
func bindings() []scenario {
	with := func(changes ...string) func(k *kit) { return func(k *kit) { k.trust(image(release(changes...))) } }
	return []scenario{
		{name: "an older image", says: "version v0.9.0, the running system has v1.0.0", setup: with("KAIROS_VERSION", "v0.9.0")},
		{name: "an image older than one that was good", says: "version v1.1.0, this node had v1.2.0", setup: func(k *kit) {
			k.trust(image(release()))
			k.floor = "v1.2.0"
		}},
		{name: "an older distribution", says: "debian 12, the running system has 13", setup: with("KAIROS_FLAVOR_RELEASE", "12")},
		{name: "a version that cannot be compared", says: "cannot be compared with v1.0.0", setup: with("KAIROS_VERSION", "zzz")},
		{name: "another flavor", says: "its distribution is ubuntu, the node's is debian", setup: with("KAIROS_FLAVOR", "ubuntu")},
		{name: "another family", says: "its family is suse, the node's is debian", setup: with("KAIROS_FAMILY", "suse")},
		{name: "another model", says: "its model is rpi4, the node's is generic", setup: with("KAIROS_MODEL", "rpi4")},
		{name: "another architecture inside", says: "its architecture is arm64, the node's is amd64", setup: with("KAIROS_ARCH", "arm64")},
		{name: "another architecture", says: "wanted linux/amd64, found linux/arm64", setup: func(k *kit) { k.trust(must(testimage.For(image(release()), "arm64"))) }},
		{name: "another version than the tag", says: "its tag v1.9.0 says version v1.9.0, its release file has KAIROS_VERSION=\"v1.1.0\"", setup: func(k *kit) {
			k.tag = "v1.9.0"
			k.trust(image(release()))
		}},
		{name: "another model than the tag", says: "says model generic, its release file has KAIROS_MODEL=\"rpi4\"", setup: func(k *kit) {
			k.tag = "13-core-amd64-generic-v1.1.0"
			k.trust(image(release("KAIROS_MODEL", "rpi4")))
		}},
		{name: "labels that promise another version", says: "label io.kairos.version is \"v2.0.0\", its release file has", setup: func(k *kit) {
			k.trust(labeled(image(release()), "io.kairos.version", "v2.0.0"))
		}},
		{name: "no version", says: "lacks KAIROS_VERSION", setup: with("KAIROS_VERSION", "")},
	}
}
