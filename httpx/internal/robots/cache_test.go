package robots

import (
	"fmt"
	"testing"
)

func TestWhatIsKnownOfSitesIsBounded(t *testing.T) {
	for _, tc := range []struct{ sites, bytes, most int }{
		{mostSites + 100, 10, mostSites},
		{1000, 500 << 10, mostBytes / (500 << 10)},
	} {
		c := NewCache()
		visit := func(i int) *Site {
			c.mu.Lock()
			defer c.mu.Unlock()
			s := c.site(fmt.Sprintf("http://h%d", i))
			if s.file.Rules == nil {
				c.keep(s, File{Rules: &Rules{Size: tc.bytes}})
			}
			return s
		}
		often, flown, awaited, once := visit(0), visit(1), visit(2), visit(3)
		flown.flights[Attempt], awaited.line = &flight{}, 1
		for i := range tc.sites {
			visit(10 + i)
			visit(0)
		}
		size := 0
		for _, s := range c.sites {
			size += s.file.size()
		}
		if len(c.sites) != tc.most || c.recent.Len() != tc.most || c.size != size ||
			size > mostBytes {
			t.Errorf("%d sites, %d in order, %d bytes, counted %d", len(c.sites), c.recent.Len(),
				size, c.size)
		}
		if visit(0) != often || visit(1) != flown || visit(2) != awaited || visit(3) == once {
			t.Error("one that is in use was forgotten, or one that is not was kept")
		}
	}
}
