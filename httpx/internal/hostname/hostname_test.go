package hostname

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/check"
)

func TestOneHostHasOneSpelling(t *testing.T) {
	for want, spellings := range map[string][]string{
		"h.example": {
			"http://h.example", "http://H.Example/", "http://h.example.", "http://h.example:80",
			"http://h.example:00080", "http://h.example.:080", "http://h.example:",
			"https://h.example:443", "https://h.example:000443"},
		"h.example:8080": {"http://h.example:8080", "http://H.EXAMPLE.:08080"},
		"h.example:443":  {"http://h.example:443"},
		"h.example:80":   {"https://h.example:80"},
		"xn--bcher-kva.ch": {
			"http://bücher.ch", "http://BÜCHER.ch", "http://bu\u0308cher.ch",
			"http://b%C3%BCcher.ch", "http://xn--bcher-kva.ch",
			"http://XN--BCHER-KVA.CH.", "http://bücher。ch"},
		"xn--bcher-kva.ch:81": {"http://bücher.ch:81", "http://BÜCHER.CH.:0081"},
		"example.com":         {"http://ｅｘａｍｐｌｅ.com", "http://example．com"},
		"[2001:db8::1]": {
			"http://[2001:db8::1]", "http://[2001:DB8:0:0:0:0:0:1]:80", "http://[2001:0db8::0001]",
			"http://[2001:db8:0::1]:0080"},
		"[2001:db8::1]:8080": {"http://[2001:db8::1]:8080", "http://[2001:0DB8::1]:08080"},
		"[fe80::1%eth0]":     {"http://[fe80::1%25eth0]", "http://[FE80:0::1%25eth0]"},
		"192.0.2.1": {
			"http://192.0.2.1", "http://[::ffff:192.0.2.1]", "http://[::ffff:c000:201]",
			"http://192.0.2.1.", "http://１９２.0.2.1"},
		"xn--e1afmkfd.xn--p1ai": {
			"http://пример.рф", "http://ПРИМЕР.РФ", "http://xn--e1afmkfd.xn--p1ai."},
		"h_x.example": {"http://h_x.example", "http://H_X.example"},
		"":            {"/path", "mailto:a@b"},
	} {
		for _, raw := range spellings {
			u, err := url.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := Of(u); got != want {
				t.Errorf("%s: %q, want %q", raw, got, want)
			}
		}
	}
	if Of(nil) != "" {
		t.Error("nil")
	}
}

func FuzzOf(f *testing.F) {
	for _, s := range []string{"h", "H.", "ü", "[::1]", "192.0.2.1", "a:b:c", "..",
		strings.Repeat("ü", 2000), strings.Repeat("ü.", 400)} {
		f.Add(s, "080")
	}
	f.Fuzz(func(t *testing.T, name, port string) {
		from, err := url.Parse("http://" + name + ":" + port)
		if err != nil {
			return
		}
		var once string
		check.Fast(t, len(name), 250*time.Millisecond, func() { once = Of(from) })
		if u := (&url.URL{Scheme: "http", Host: once}); Of(u) != once {
			t.Errorf("%q: %q, then %q", name, once, Of(u))
		}
	})
}
