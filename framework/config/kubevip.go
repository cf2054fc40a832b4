// SPDX-License-Identifier: Apache-2.0

package config

import (
	"github.com/kairos-build/kairos-build/framework/internal/lazyregexp"
)

// KubeVIP is an address that the servers of a k3s cluster share. kube-vip gives it to
// one of them.
type KubeVIP struct {
	Enable    *bool
	Origin    Position // of the key kubevip
	Address   Text     // IP address or host name
	Interface string   // the network interface; empty: that of the default route
	Version   string   // the tag of the image
	Image     string   // without a tag
	StaticPod *bool    // a static pod and not a DaemonSet
}

// On tells whether kube-vip runs. As in Kairos, an address without enable is enough.
func (k KubeVIP) On() bool {
	if k.Enable != nil {
		return *k.Enable
	}
	return k.Address.Text != ""
}

var (
	interfaceName = formed(lazyregexp.New(`^[^\s/:"\\]{1,15}$`), "the name of a network interface", "eth0")
	imageTag      = formed(lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`), "the tag of an image", "v1.2.3")
	imageName     = formed(lazyregexp.New(`^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+$`), "the name of an image without a tag", "registry.example.org/kube-vip/kube-vip")
)

var kubeVIPFields = []field[KubeVIP]{
	keepPointer("enable", "Whether it runs; an address alone is enough.", aBool, func(k *KubeVIP) **bool { return &k.Enable }),
	{name: "eip", about: "The address that the servers share.", shape: anAddress.shape, decode: func(v value, k *KubeVIP) {
		if s, ok := anAddress.get(v); ok {
			k.Address = v.textOf(s)
		}
	}},
	keep("interface", "The network interface. The default is that of the default route.", interfaceName, func(k *KubeVIP) *string { return &k.Interface }),
	keep("version", "The version, which is the tag of the image.", imageTag, func(k *KubeVIP) *string { return &k.Version }),
	keep("image", "The image, without a tag.", imageName, func(k *KubeVIP) *string { return &k.Image }),
	{name: "manifest_url", about: "Refused: give its manifest in k3s.manifests.", shape: aURL.shape, decode: func(v value, _ *KubeVIP) {
		if _, ok := aURL.get(v); !ok {
			return
		}
		v.Fail("the objects of kube-vip are not fetched: what runs on the servers would depend on another server at every boot, and could change between two", "put its manifest into k3s.manifests, or leave the key out: kubevip makes one from eip and image")
	}},
	keepPointer("static_pod", "Whether it is a static pod, and not a DaemonSet.", aBool, func(k *KubeVIP) **bool { return &k.StaticPod }),
}

func decodeKubeVIP(v value, c *Config) {
	decodeMap(v, kubeVIPFields, &c.KubeVIP)
	c.KubeVIP.Origin = v.Position()
}

func (k *KubeVIP) join(later KubeVIP) {
	wins(&k.Enable, later.Enable)
	wins(&k.Origin, later.Origin)
	wins(&k.Address, later.Address)
	wins(&k.Interface, later.Interface)
	wins(&k.Version, later.Version)
	wins(&k.Image, later.Image)
	wins(&k.StaticPod, later.StaticPod)
}
