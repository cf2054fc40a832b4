// SPDX-License-Identifier: Apache-2.0

package datasource

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// service is a metadata service: bodies by method and path.
type service map[string]string

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := s[r.Method+" "+r.URL.RequestURI()]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(body)) // a client that went away is its own test
}

// needs refuses requests without a certain header, as the real services do.
func needs(header, value string, status int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(header) != value {
			http.Error(w, "no", status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// imdsV2 issues a token and requires it.
func imdsV2(next http.Handler) http.Handler {
	guarded := needs(tokenHeader, "t0ken", http.StatusUnauthorized, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/latest/api/token":
			guarded.ServeHTTP(w, r)
		case r.Method == http.MethodPut && r.Header.Get(tokenLife) != "":
			_, _ = w.Write([]byte("t0ken")) // see above
		default:
			http.Error(w, "no", http.StatusBadRequest)
		}
	})
}

// readOnly is a service that accepts only GET.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			http.Error(w, "no", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func google(next http.Handler) http.Handler {
	return needs(flavorHeader, flavor, http.StatusForbidden, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(flavorHeader, flavor)
		next.ServeHTTP(w, r)
	}))
}

const userData = "#cloud-config\nhostname: a\n"

// amazon is the content of http://169.254.169.254 on EC2.
var amazon = service{
	"GET /latest/meta-data/instance-id":               "i-0abc",
	"GET /latest/meta-data/local-hostname":            "ip-10-0-0-1.ec2.internal",
	"GET /latest/meta-data/public-keys/":              "0=mine\n1=other",
	"GET /latest/meta-data/public-keys/0/openssh-key": "ssh-rsa A mine\n",
	"GET /latest/meta-data/public-keys/1/openssh-key": "ssh-rsa B other\n",
	"GET /latest/user-data":                           userData,
}

// TestServices: every source against a fake as strict as the real service.
func TestServices(t *testing.T) {
	nova := service{
		"GET /openstack/latest/meta_data.json":    `{"uuid":"u-1","name":"n","hostname":"n.novalocal","public_keys":{"k":"ssh-rsa A\n"},"availability_zone":"z"}`,
		"GET /openstack/latest/user_data":         userData,
		"GET /openstack/latest/network_data.json": `{"links":[]}`,
	}
	gceDocument := `{"instance":{"id":4181888423123456789,"hostname":"n.c.p.internal","attributes":{"user-data":"#cloud-config\nhostname: a\n","ssh-keys":"ada:ssh-rsa A ada\nbob:ssh-rsa B google-ssh {\"userName\":\"bob\",\"expireOn\":\"2020-01-01T00:00:00+0000\"}"}},"project":{"attributes":{"ssh-keys":"eve:ssh-rsa C"}}}`
	azureDocument := `{"compute":{"vmId":"v-1","name":"n","osProfile":{"computerName":"n1"},"publicKeys":[{"keyData":"ssh-rsa A\r\n","path":"/home/a"}],"customData":"","userData":"I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogYQo="}}`
	for _, c := range []struct {
		name   string
		source Source
		server http.Handler
		want   Data
	}{
		{"EC2 with IMDSv2", ec2{}, imdsV2(amazon), Data{InstanceID: "i-0abc", Hostname: "ip-10-0-0-1.ec2.internal", Keys: []string{"ssh-rsa A mine", "ssh-rsa B other"}, Encoded: true}},
		{"EC2 with IMDSv1", ec2{}, amazon, Data{InstanceID: "i-0abc", Hostname: "ip-10-0-0-1.ec2.internal", Keys: []string{"ssh-rsa A mine", "ssh-rsa B other"}, Encoded: true}},
		{"EC2 that only reads", ec2{}, readOnly(amazon), Data{InstanceID: "i-0abc", Hostname: "ip-10-0-0-1.ec2.internal", Keys: []string{"ssh-rsa A mine", "ssh-rsa B other"}, Encoded: true}},
		{"Google", gce{}, google(service{"GET /computeMetadata/v1/?recursive=true": gceDocument}), Data{InstanceID: "4181888423123456789", Hostname: "n.c.p.internal", Keys: []string{"ssh-rsa A ada", "ssh-rsa C"}}},
		{"Azure", azure{}, needs("Metadata", "true", http.StatusBadRequest, service{"GET " + azurePath: azureDocument}), Data{InstanceID: "v-1", Hostname: "n1", Keys: []string{"ssh-rsa A"}}},
		{"OpenStack", openStack{}, nova, Data{InstanceID: "u-1", Hostname: "n.novalocal", Keys: []string{"ssh-rsa A"}, Notes: []string{"network_data.json is not implemented: ports get their addresses by DHCP"}}},
		{"DigitalOcean", digitalOcean{}, service{"GET /metadata/v1.json": `{"droplet_id":2756294,"hostname":"d","user_data":"#cloud-config\nhostname: a\n","public_keys":["ssh-rsa A","ssh-rsa B"],"region":"nyc3"}`},
			Data{InstanceID: "2756294", Hostname: "d", Keys: []string{"ssh-rsa A", "ssh-rsa B"}}},
		{"Hetzner", hetzner{}, service{"GET /hetzner/v1/metadata": "availability-zone: fsn1-dc14\nhostname: h\ninstance-id: 45676543\npublic-keys:\n- ssh-rsa A\nregion: eu-central\n", "GET /hetzner/v1/userdata": userData},
			Data{InstanceID: "45676543", Hostname: "h", Keys: []string{"ssh-rsa A"}, Encoded: true}},
		{"Vultr", vultr{}, service{"GET /v1.json": `{"bgp":{},"hostname":"v","instanceid":"1","instance-v2-id":"i-2","public-keys":"ssh-rsa A\nssh-rsa B\n","user-data":"#cloud-config\nhostname: a\n"}`},
			Data{InstanceID: "i-2", Hostname: "v", Keys: []string{"ssh-rsa A", "ssh-rsa B"}, Encoded: true}},
		{"Vultr, older", vultr{}, service{"GET /v1.json": `{"hostname":"v","instanceid":"1","public-keys":["ssh-rsa A"]}`, "GET /latest/user-data": userData},
			Data{InstanceID: "1", Hostname: "v", Keys: []string{"ssh-rsa A"}, Encoded: true}},
		{"Equinix Metal", packet{}, service{"GET /metadata": `{"id":"p-1","hostname":"p","ssh_keys":["ssh-rsa A"]}`, "GET /userdata": userData}, Data{InstanceID: "p-1", Hostname: "p", Keys: []string{"ssh-rsa A"}}},
		{"metaldata", metaldata{}, service{"GET /get/meta/hostname": "m\n", "GET /get/meta/machine-id": "m-1", "GET /get/meta/authorized-keys": "ssh-rsa A\n", "GET /get/user": userData}, Data{InstanceID: "m-1", Hostname: "m", Keys: []string{"ssh-rsa A"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.server)
			defer server.Close()
			m := &Access{FS: sys(nil)}
			m.SetBase(c.source.Name(), server.URL)
			got, err := m.Fetch(t.Context(), []Source{c.source})
			if err != nil {
				t.Fatal(err)
			}
			c.want.Source, c.want.Place, c.want.UserData = c.source.Name(), server.URL, []byte(userData)
			if diff := cmp.Diff(&c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoUserData(t *testing.T) {
	with := service{}
	for key, value := range amazon {
		if key != "GET /latest/user-data" && !strings.Contains(key, "public-keys") {
			with[key] = value
		}
	}
	server := httptest.NewServer(imdsV2(with))
	defer server.Close()
	m := &Access{FS: sys(nil)}
	m.SetBase("ec2", server.URL)
	got, err := ec2{}.Fetch(t.Context(), m)
	if err != nil || got.InstanceID != "i-0abc" || len(got.UserData)+len(got.Keys) > 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestNotGoogle: the answer of another server at the address is not used.
func TestNotGoogle(t *testing.T) {
	server := httptest.NewServer(service{"GET /computeMetadata/v1/?recursive=true": "{}"})
	defer server.Close()
	m := &Access{FS: sys(nil)}
	m.SetBase("gce", server.URL)
	if _, err := (gce{}).Fetch(t.Context(), m); err == nil || !strings.Contains(err.Error(), "not that of Google's") {
		t.Errorf("got %v", err)
	}
}

func TestSeedURL(t *testing.T) {
	files := service{"GET /seed/user-data": userData, "GET /seed/meta-data": "instance-id: i-9\n"}
	server := httptest.NewServer(files)
	defer server.Close()
	m := &Access{FS: sys(map[string]string{"product_serial": "ds=nocloud-net;s=" + server.URL + "/seed/;h=n1"})}
	got, err := m.Fetch(t.Context(), []Source{seedURL{}})
	want := &Data{Source: "nocloud-net", Place: server.URL + "/seed/", InstanceID: "i-9", Hostname: "n1", UserData: []byte(userData)}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
		t.Errorf("%v, differs (-want +got):\n%s", err, diff)
	}
}

// TestPatience: a temporary error is retried, a refusal is not, and the retries
// end.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []int // the last one stays
		asked   int   // 0: any number
		want    string
	}{
		{"late", []int{503, 429, 500, 200}, 4, ""},
		{"refused", []int{403}, 1, "403 Forbidden"},
		{"missing", []int{404}, 1, "there is nothing"},
		{"never", []int{503}, 0, "gave up after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				status := c.answers[min(asked, len(c.answers)-1)]
				asked++
				w.WriteHeader(status)
			}))
			defer server.Close()
			m := &Access{FS: sys(nil), Pause: time.Millisecond, Patience: 200 * time.Millisecond}
			_, err := ConfigURL(server.URL+"/secret?token=geheim").Fetch(t.Context(), m)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("a secret is shown: %v", err)
			}
			if c.asked > 0 && asked != c.asked || asked < 1 {
				t.Errorf("asked %d times, want %d", asked, c.asked)
			}
		})
	}
}

func TestConfigURLErrors(t *testing.T) {
	m := &Access{FS: sys(nil), Pause: time.Millisecond, Patience: 20 * time.Millisecond}
	server := httptest.NewServer(service{})
	server.Close() // so that no server answers
	for _, c := range []struct{ url, want string }{
		{"ftp://u:geheim@example.org/x?geheim", "begins with neither http:// nor https://: ftp://example.org/x"},
		{strings.Replace(server.URL, "http://", "http://u:geheim@", 1) + "/x?geheim", "gave up after"},
	} {
		_, err := ConfigURL(c.url).Fetch(t.Context(), m)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestFetchGoesOn: after the failure of a source the next is asked, and the failure
// is reported.
func TestFetchGoesOn(t *testing.T) {
	server := httptest.NewServer(service{"GET /metadata/v1.json": `{"droplet_id":1}`})
	defer server.Close()
	m := &Access{FS: sys(nil)}
	m.SetBase("openstack", server.URL)
	m.SetBase("ec2", server.URL)
	m.SetBase("digitalocean", server.URL)
	got, err := m.Fetch(t.Context(), []Source{openStack{}, ec2{}, digitalOcean{}})
	if got == nil || got.Source != "digitalocean" || err == nil || !strings.HasPrefix(err.Error(), "datasource ec2: asking ") {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := m.Fetch(t.Context(), []Source{openStack{}}); !errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
}
