package httpx

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/reprise-go/reprise/internal/robots"
)

func TestWhatIsKnownOfSitesIsBounded(t *testing.T) {
	for _, c := range []struct{ sites, bytes, most int }{
		{mostSites + 100, 10, mostSites},
		{1000, 500 << 10, mostBytes / (500 << 10)},
	} {
		var cfg config
		Polite("bot")(&cfg)
		p := cfg.polite
		visit := func(i int) *site {
			p.mu.Lock()
			defer p.mu.Unlock()
			s := p.site(&url.URL{Scheme: "http", Host: fmt.Sprintf("h%d", i)})
			if s.file.rules == nil {
				p.keep(s, file{rules: &robots.Rules{Size: c.bytes}})
			}
			return s
		}
		often, flown, awaited, once := visit(0), visit(1), visit(2), visit(3)
		flown.flight, awaited.line = &flight{}, 1
		for i := range c.sites {
			visit(10 + i)
			visit(0)
		}
		size := 0
		for _, s := range p.sites {
			size += s.file.size()
		}
		if len(p.sites) != c.most || p.recent.Len() != c.most || p.size != size || size > mostBytes {
			t.Errorf("%d sites, %d in order, %d bytes, counted %d", len(p.sites), p.recent.Len(), size, p.size)
		}
		if visit(0) != often || visit(1) != flown || visit(2) != awaited || visit(3) == once {
			t.Error("one that is in use was forgotten, or one that is not was kept")
		}
	}
}
