// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"github.com/kairos-build/kairos-build/framework/machine/datasource"
)

// cdrom puts a NoCloud CD-ROM into the drive of the node at dir.
func cdrom(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	work := t.TempDir()
	for name, data := range files {
		put(t, work, name, data)
	}
	put(t, dir, "sys/class/block/sr0/size", "8192\n")
	put(t, dir, "dev/sr0", "")
	f, err := os.OpenFile(filepath.Join(dir, "dev/sr0"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4 << 20); err != nil {
		t.Fatal(err)
	}
	fsys, err := iso9660.Create(file.New(f, false), 4<<20, 0, 2048, work)
	if err != nil {
		t.Fatal(err)
	}
	if err := fsys.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "cidata"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// callWith is call with adjusted datasources.
func callWith(t *testing.T, dir string, adjust func(*datasource.Access), do doing) result {
	t.Helper()
	return callOn(t, &Node{AdjustSources: adjust}, dir, do)
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// TestNoDatasource: a node without a datasource has neither a record nor a mark.
func TestNoDatasource(t *testing.T) {
	dir := newNode(t)
	if got := call(t, dir, (*Node).Boot); got.code != 0 || got.stderr != "" {
		t.Fatalf("boot: %+v", got)
	}
	for _, name := range []string{datasource.RecordFile, datasource.StateFile, datasourceMark, datasource.Sentinel} {
		if exists(dir, name) {
			t.Errorf("%s is there", name)
		}
	}
}

const (
	nodeKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti you@example.org"
	metaData = "instance-id: i-1\nlocal-hostname: fromdata\npublic-keys: [\"" + nodeKey + "\"]\n"
)

// TestCDROM: the data of a CD-ROM takes effect in the same boot and stays when the
// CD-ROM is gone. A broken CD-ROM changes nothing.
func TestCDROM(t *testing.T) {
	dir := newNode(t)
	cdrom(t, dir, map[string]string{
		"user-data":      "#cloud-config\nusers: [{name: ada}]\nwrite_files: [{path: /etc/motd, content: hello}]\n",
		"meta-data":      metaData,
		"network-config": "version: 2\nethernets: {eth0: {addresses: [192.0.2.10/24]}}\n",
	})
	check := func(when string) {
		t.Helper()
		if got := content(t, dir, "etc/hostname"); got != "fromdata\n" {
			t.Errorf("%s: the host name is %q", when, got)
		}
		if got := content(t, dir, "etc/motd"); got != "hello" {
			t.Errorf("%s: motd is %q", when, got)
		}
		if got := content(t, dir, "home/ada/.ssh/authorized_keys"); !strings.Contains(got, nodeKey) {
			t.Errorf("%s: the keys are %q", when, got)
		}
		if got := content(t, dir, "run/systemd/network/10-kairos-eth0.network"); !strings.Contains(got, "Address=192.0.2.10/24\n") {
			t.Errorf("%s: the network is %q", when, got)
		}
		if !exists(dir, datasource.Sentinel) || exists(dir, datasourceMark) {
			t.Errorf("%s: the sentinel is missing, or there is a mark", when)
		}
	}
	reboot := func() {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
			t.Fatal(err)
		}
	}
	if got := call(t, dir, (*Node).Boot); got.code != 0 || got.stderr != "" {
		t.Fatalf("boot: %+v", got)
	}
	check("first boot")
	if got := call(t, dir, (*Node).showStatus); !strings.Contains(got.stdout, "datasource  nocloud, at /dev/sr0, instance i-1, user data stored, network-config stored\n") {
		t.Errorf("status: %s", got.stdout)
	}

	reboot()
	cdrom(t, dir, map[string]string{"user-data": "#cloud-config\nusers:\n- nam: eve\n", "meta-data": metaData, "network-config": "version: 2\nwifi: {}\n"})
	got := call(t, dir, (*Node).Boot)
	for _, want := range []string{
		"kairos: nocloud/user-data:3:3: users[0].nam: unknown key; did you mean \"name\"?\n",
		"kairos: nocloud/user-data: not used, because of the errors above\n",
		"kairos: nocloud/network-config:2:1: network.wifi: unknown key; did you mean \"wifis\"?\n",
		"user data of datasource nocloud is not used; it is in /oem/.kairos/userdata.rejected\n",
	} {
		if got.code != 1 || !strings.Contains(got.stderr, want) {
			t.Errorf("a broken CD-ROM: %+v\nwant %s", got, want)
		}
	}
	check("a broken CD-ROM")

	reboot()
	if err := os.RemoveAll(filepath.Join(dir, "sys")); err != nil {
		t.Fatal(err)
	}
	if got := call(t, dir, (*Node).Boot); got.code != 0 || got.stderr != "" {
		t.Fatalf("boot without the CD-ROM: %+v", got)
	}
	check("without the CD-ROM")
}

// TestConfigWins: the host name of a config file overrides that of the meta-data.
func TestConfigWins(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "root/.keep", "")
	put(t, dir, "oem/90.yaml", "hostname: fromfile\n")
	cdrom(t, dir, map[string]string{"user-data": "#!/bin/sh\necho\n", "meta-data": metaData})
	if got := call(t, dir, (*Node).Boot); got.code != 0 || content(t, dir, "etc/hostname") != "fromfile\n" {
		t.Errorf("got %+v, %q", got, content(t, dir, "etc/hostname"))
	}
	if !exists(dir, stageDir+"/boot") {
		t.Error("the script is no step of the stage boot")
	}
	if got := content(t, dir, "root/.ssh/authorized_keys"); !strings.Contains(got, nodeKey) {
		t.Errorf("the keys of root are %q", got)
	}
}

// TestNewNetwork: a changed network-config removes the files of the old one.
func TestNewNetwork(t *testing.T) {
	dir := newNode(t)
	cdrom(t, dir, map[string]string{"meta-data": metaData, "network-config": "version: 2\nethernets: {eth0: {}, eth1: {}}\n"})
	call(t, dir, (*Node).Boot)
	put(t, dir, "run/systemd/network/20-mine.network", "")
	cdrom(t, dir, map[string]string{"meta-data": metaData, "network-config": "version: 2\nethernets: {eth0: {}}\n"})
	call(t, dir, (*Node).Boot)
	for name, want := range map[string]bool{"10-kairos-eth0.network": true, "10-kairos-eth1.network": false, "20-mine.network": true} {
		if got := exists(dir, "run/systemd/network/"+name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// TestNetworkManager: an image with NetworkManager gets files for it, which only root reads.
func TestNetworkManager(t *testing.T) {
	dir := newNode(t)
	put(t, dir, networkManager[1:], "")
	cdrom(t, dir, map[string]string{"meta-data": metaData, "network-config": "version: 2\nethernets: {eth0: {addresses: [192.0.2.10/24]}, eth1: {}}\n"})
	call(t, dir, (*Node).Boot)
	name := "run/NetworkManager/system-connections/10-kairos-eth0.nmconnection"
	if got := content(t, dir, name); !strings.Contains(got, "address1=192.0.2.10/24\n") {
		t.Errorf("the connection is %q", got)
	}
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v (%v)", info.Mode(), err)
	}
	cdrom(t, dir, map[string]string{"meta-data": metaData, "network-config": "version: 2\nethernets: {eth0: {}}\n"})
	call(t, dir, (*Node).Boot)
	if exists(dir, "run/NetworkManager/system-connections/10-kairos-eth1.nmconnection") || exists(dir, "run/systemd/network/10-kairos-eth0.network") {
		t.Error("there are files of the old network-config, or of systemd-networkd")
	}
}

// hetznerCloud starts the metadata service of a fake cloud, with the user data in
// *userData.
func hetznerCloud(t *testing.T, userData *string) func(*datasource.Access) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hetzner/v1/metadata":
			_, _ = w.Write([]byte("hostname: cloud1\ninstance-id: 77\n")) // a client that is gone needs no answer
		case "/hetzner/v1/userdata", "/config.yaml":
			_, _ = w.Write([]byte(*userData)) // likewise
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return func(m *datasource.Access) {
		m.SetBase("hetzner", server.URL)
		m.Pause, m.Patience = time.Millisecond, time.Second
	}
}

// TestCloud: a metadata service is asked after the boot, and only on its own machines.
// Its data is applied at once, and only once.
func TestCloud(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "sys/class/dmi/id/sys_vendor", "Hetzner\n")
	userData := "#cloud-config\nusers: [{name: ada}]\nstages: {boot: [{name: s, commands: ['echo ran >>" + dir + "/ran']}], network: [{name: n}]}\n"
	put(t, dir, "oem/90.yaml", "stages: {boot: [{name: other, commands: ['echo again >>"+dir+"/ran']}]}\n")
	adjust := hetznerCloud(t, &userData)
	if got := callWith(t, dir, adjust, (*Node).Boot); got.code != 0 || !exists(dir, datasourceMark) || exists(dir, "oem/95_userdata.yaml") {
		t.Fatalf("boot: %+v", got)
	}
	if got := callWith(t, dir, adjust, (*Node).showStatus); !strings.Contains(got.stdout, "datasource  unknown, asked when there is a network: hetzner\n") {
		t.Errorf("status: %s", got.stdout)
	}
	for range 2 {
		if got := callWith(t, dir, adjust, (*Node).Datasource); got.code != 0 || got.stderr != "" {
			t.Fatalf("datasource: %+v", got)
		}
	}
	if got := content(t, dir, "etc/passwd"); !strings.Contains(got, "\nada:") {
		t.Errorf("passwd is %q", got)
	}
	if got := content(t, dir, "etc/hostname"); got != "cloud1\n" {
		t.Errorf("the host name is %q", got)
	}
	if got := content(t, dir, "ran"); got != "ran\n" {
		t.Errorf("the step ran: %q", got)
	}
	if !exists(dir, stageDir+"/network") {
		t.Error("the stage network has no mark")
	}
	userData = "#cloud-config\nhostname: [a]\n"
	callWith(t, dir, adjust, (*Node).Boot)
	got := callWith(t, dir, adjust, (*Node).Datasource)
	if want := "kairos: hetzner/user-data:2:11: hostname: expected a string, found a list\n"; got.code != 1 || !strings.Contains(got.stderr, want) {
		t.Errorf("broken: %+v\nwant %s", got, want)
	}
	if !strings.Contains(content(t, dir, "oem/95_userdata.yaml"), "ada") {
		t.Error("the last correct user data is gone")
	}
}

// TestSilentCloud: a metadata service without an answer is a visible failure. Stored
// data stays.
func TestSilentCloud(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "sys/class/dmi/id/sys_vendor", "Hetzner\n")
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	adjust := func(m *datasource.Access) {
		m.SetBase("hetzner", server.URL)
		m.Pause, m.Patience = time.Millisecond, 50*time.Millisecond
	}
	callWith(t, dir, adjust, (*Node).Boot)
	got := callWith(t, dir, adjust, (*Node).Datasource)
	if got.code != 1 || !strings.Contains(got.stderr, "datasource hetzner: asking "+server.URL) || !strings.Contains(got.stderr, "gave up after") {
		t.Errorf("got %+v", got)
	}
	if got := content(t, dir, "etc/issue.d/50-kairos-config.issue"); !strings.Contains(got, "gave up after") {
		t.Errorf("above the login prompt stands %q", got)
	}
}

// TestConfigURL: a URL on the command line gives user data. A URL in a config gives one
// more config.
func TestConfigURL(t *testing.T) {
	for _, c := range []struct{ name, file string }{{"command line", "oem/95_userdata.yaml"}, {"key", "oem/96_config_url.yaml"}} {
		t.Run(c.name, func(t *testing.T) {
			dir := newNode(t)
			text := "#cloud-config\nusers: [{name: ada}]\n"
			var url string
			adjust := hetznerCloud(t, &text)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(text)) // a client that is gone needs no answer
			}))
			t.Cleanup(server.Close)
			url = server.URL + "/config.yaml"
			if c.name == "key" {
				put(t, dir, "oem/90.yaml", "config_url: "+url+"\n")
			} else {
				put(t, dir, "proc/cmdline", "kairos.slot=a kairos.config_url="+url)
			}
			for i, service := range []doing{(*Node).Boot, (*Node).Datasource} {
				if got := callWith(t, dir, adjust, service); got.code != 0 || got.stderr != "" {
					t.Fatalf("service %d: %+v", i+1, got)
				}
			}
			if content(t, dir, c.file) != text || !strings.Contains(content(t, dir, "etc/passwd"), "\nada:") {
				t.Error("it is not applied")
			}
		})
	}
}

// TestStepDatasource: the key datasource of a step works as in Kairos.
func TestStepDatasource(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "oem/90.yaml", "stages: {network: [{name: d, datasource: {providers: [gcp, hetzner], path: /oem, userdata_name: 95_userdata.yaml}}]}\n")
	text := "#cloud-config\nhostname: a\n"
	hetzner := hetznerCloud(t, &text)
	none := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(none.Close)
	got := callWith(t, dir, func(m *datasource.Access) { hetzner(m); m.SetBase("gce", none.URL) }, stage("network"))
	if got.code != 0 || content(t, dir, "oem/95_userdata.yaml") != text || !strings.Contains(got.stdout, "stored as /oem/95_userdata.yaml") {
		t.Errorf("got %+v", got)
	}
	if got := callWith(t, dir, hetzner, dryStage("network")); got.code != 0 || !strings.Contains(got.stdout, "not in a dry run") {
		t.Errorf("dry run: %+v", got)
	}
}

// TestConfigURLInUserData: user data may name one more config. It is fetched in the
// same boot, and its steps run.
func TestConfigURLInUserData(t *testing.T) {
	dir := newNode(t)
	put(t, dir, "sys/class/dmi/id/sys_vendor", "Hetzner\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("#cloud-config\nstages: {fs: [{name: s, files: [{path: /etc/motd, content: hi}]}]}\n")) // a client that is gone needs no answer
	}))
	t.Cleanup(server.Close)
	text := "#cloud-config\nconfig_url: " + server.URL + "\n"
	adjust := hetznerCloud(t, &text)
	for i, service := range []doing{(*Node).Boot, (*Node).Datasource} {
		if got := callWith(t, dir, adjust, service); got.code != 0 || got.stderr != "" {
			t.Fatalf("service %d: %+v", i+1, got)
		}
	}
	if got := content(t, dir, "etc/motd"); got != "hi" {
		t.Errorf("motd is %q", got)
	}
	got := callWith(t, dir, adjust, (*Node).showStatus)
	if want := "datasource  hetzner, at http://127.0.0.1:"; !strings.Contains(got.stdout, want) {
		t.Errorf("got %s, want %s", got.stdout, want)
	}
}
