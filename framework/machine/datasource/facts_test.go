// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sys(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, data := range files {
		if !strings.Contains(name, "/") {
			name = "sys/class/dmi/id/" + name
		}
		out[name] = &fstest.MapFile{Data: []byte(data + "\n")}
	}
	return out
}

func names(sources []Source) []string {
	out := []string{}
	for _, s := range sources {
		out = append(out, s.Name())
	}
	return out
}

// TestDetect: which services are asked on a machine. The strings are those of real
// machines.
func TestDetect(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"a server", map[string]string{"sys_vendor": "Dell Inc.", "product_name": "PowerEdge R640", "chassis_asset_tag": ""}, nil},
		{"QEMU", map[string]string{"sys_vendor": "QEMU", "product_name": "Standard PC (Q35 + ICH9, 2009)", "chassis_vendor": "QEMU"}, nil},
		{"Amazon, Nitro", map[string]string{"sys_vendor": "Amazon EC2", "product_name": "t3.micro", "product_uuid": "ec2a1b2c-0000"}, []string{"ec2"}},
		{"Amazon, Xen", map[string]string{"sys_vendor": "Xen", "product_version": "4.11.amazon", "product_uuid": "EC2A1B2C-0000"}, []string{"ec2"}},
		{"Amazon, paravirtual", map[string]string{"sys/hypervisor/uuid": "ec2a1b2c-0000"}, []string{"ec2"}},
		{"an unlucky UUID", map[string]string{"sys_vendor": "Dell Inc.", "product_uuid": "ec2a1b2c-0000"}, nil},
		{"Google", map[string]string{"sys_vendor": "Google", "product_name": "Google Compute Engine"}, []string{"gce"}},
		{"Azure", map[string]string{"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": azureTag}, []string{"azure"}},
		{"Hyper-V", map[string]string{"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "1234"}, nil},
		{"OpenStack", map[string]string{"sys_vendor": "OpenStack Foundation", "product_name": "OpenStack Nova"}, []string{"openstack"}},
		{"Open Telekom Cloud", map[string]string{"chassis_asset_tag": "OpenTelekomCloud"}, []string{"openstack"}},
		{"DigitalOcean", map[string]string{"sys_vendor": "DigitalOcean", "product_name": "Droplet"}, []string{"digitalocean"}},
		{"Hetzner", map[string]string{"sys_vendor": "Hetzner", "product_name": "vServer"}, []string{"hetzner"}},
		{"Vultr", map[string]string{"sys_vendor": "Vultr", "product_name": "VC2"}, []string{"vultr"}},
		{"NoCloud by serial", map[string]string{"product_serial": "ds=nocloud;s=http://192.0.2.1:8000/;h=n1"}, []string{"nocloud-net"}},
		{"NoCloud by command line", map[string]string{"proc/cmdline": `a "ds=nocloud;s=http://192.0.2.1/" b`}, []string{"nocloud-net"}},
		{"asked", map[string]string{"proc/cmdline": "kairos.datasource=aws,packet", "sys_vendor": "Vultr"}, []string{"ec2", "packet"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := sys(c.files)
			_, remote, err := (&Access{FS: fsys}).Detect(ReadFacts(fsys))
			if diff := cmp.Diff(append([]string{}, c.want...), names(remote)); diff != "" || err != nil {
				t.Errorf("%v, differs (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestDetectLocal(t *testing.T) {
	m := &Access{FS: sys(map[string]string{"product_serial": "ds=nocloud;s=file:///srv/seed;i=i-3"})}
	local, _, err := m.Detect(ReadFacts(m.FS))
	if diff := cmp.Diff([]string{"nocloud", "config-drive", "firmware", "ovf", "seed"}, names(local)); diff != "" || err != nil {
		t.Errorf("%v, differs (-want +got):\n%s", err, diff)
	}
}

func TestDetectErrors(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"kairos.datasource=hetzer", `the kernel argument kairos.datasource: there is no datasource "hetzer"; did you mean "hetzner"?`},
		{"kairos.datasource=vmware", `the kernel argument kairos.datasource: the datasource "vmware" is known and not implemented yet in this version`},
	} {
		m := &Access{FS: sys(map[string]string{"proc/cmdline": c.line, "sys_vendor": "Vultr"})}
		_, remote, err := m.Detect(ReadFacts(m.FS))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.line, err, c.want)
		}
		if diff := cmp.Diff([]string{"vultr"}, names(remote)); diff != "" {
			t.Errorf("%s: the machine itself does not count (-want +got):\n%s", c.line, diff)
		}
	}
}

func TestBaseByCommandLine(t *testing.T) {
	m := &Access{FS: sys(map[string]string{"proc/cmdline": "kairos.datasource=gcp@http://192.0.2.7:80/"})}
	if _, _, err := m.Detect(ReadFacts(m.FS)); err != nil {
		t.Fatal(err)
	}
	if got, want := m.baseOf("gce", linkLocal), "http://192.0.2.7:80"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConfigURLFact(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"quiet", ""},
		{"kairos.config_url=https://example.org/a?b=c", "https://example.org/a?b=c"},
		{"config_url=http://a kairos.config_url=http://b", "http://b"},
		{`config_url="http://a"`, "http://a"},
	} {
		if got := ReadFacts(sys(map[string]string{"proc/cmdline": c.line})).ConfigURL; got != c.want {
			t.Errorf("%s: got %q, want %q", c.line, got, c.want)
		}
	}
}

// TestFast logs how long the search takes on a machine without a datasource. It
// sets no limit.
func TestFast(t *testing.T) {
	m, root := newMachine(t)
	put(t, root, "sys/class/dmi/id/sys_vendor", "QEMU\n")
	put(t, root, "proc/cmdline", "quiet\n")
	for _, name := range []string{"vda", "vda1", "vda2", "vda3", "vdb"} {
		put(t, root, "sys/class/block/"+name+"/size", "4096\n")
		put(t, root, "dev/"+name, strings.Repeat("x", 1<<20))
	}
	start := time.Now()
	local, remote, err := m.Detect(ReadFacts(m.FS))
	if err != nil || len(remote) > 0 {
		t.Fatal(remote, err)
	}
	if data, err := m.Fetch(t.Context(), local); data != nil {
		t.Fatal(data, err)
	}
	t.Logf("no datasource was found in %v", time.Since(start))
}

// TestDocs: docs/datasources.md names every source.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../../docs/datasources.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range All() {
		if !strings.Contains(string(page), "`"+s.Name()+"`") {
			t.Errorf("docs/datasources.md has no %s", s.Name())
		}
	}
}
