// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"cmp"
	_ "embed"
	"net/netip"
	"strconv"
	"text/template"

	"github.com/kairos-build/kairos-build/framework/config"
)

const kubeVIPVersion = "v1.2.3" // the default of Kairos

//go:embed kube-vip.yaml.tmpl
var kubeVIPObjects string

// kubeVIPValues are texts of YAML, quoted.
type kubeVIPValues struct{ Image, Interface, Address, Subnet string }

// kubeVIP adds the objects of kube-vip. k3s applies the DaemonSet; the kubelet runs the
// static pod, also before the API server answers.
func (p *Plan) kubeVIP(vip config.KubeVIP) {
	if !vip.On() || vip.Image == "" { // checkKubeVIP has reported it
		return
	}
	if vip.StaticPod != nil && *vip.StaticPod {
		p.Files = append(p.Files, File{p.data + "/agent/pod-manifests/" + prefix + "kube-vip.yaml", objectsOf("pod", vip), 0o644, false})
		return
	}
	p.Files = append(p.Files, File{p.data + "/server/manifests/kairos/kube-vip.yaml", objectsOf("daemonset", vip), 0o644, false})
}

func objectsOf(name string, vip config.KubeVIP) []byte {
	v := kubeVIPValues{
		Image:   strconv.Quote(vip.Image + ":" + cmp.Or(vip.Version, kubeVIPVersion)),
		Address: strconv.Quote(vip.Address.Text), Subnet: subnet(vip.Address.Text),
	}
	if vip.Interface != "" {
		v.Interface = strconv.Quote(vip.Interface)
	}
	var b bytes.Buffer
	b.WriteString(head)
	if err := template.Must(template.New("kube-vip").Parse(kubeVIPObjects)).ExecuteTemplate(&b, name, v); err != nil {
		panic("BUG: the objects of kube-vip: " + err.Error())
	}
	return b.Bytes()
}

// subnet is the prefix of an address that stands alone.
func subnet(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
		return "128"
	}
	return "32"
}
