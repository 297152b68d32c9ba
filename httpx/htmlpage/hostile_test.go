package htmlpage

import (
	"strings"
	"testing"
	"time"
)

// What a hostile page can be made of, over and over: none of it may take more than its length in
// time.
func TestDocument_and_Links_of_hostile_pages(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("parses 25 pages of 256 KiB")
	}
	for _, p := range []string{
		"<a href=1>", "<b><p>", "<table><a href=1>", "<table>", "<select><option>",
		"<svg><a href=1>", "<p>x</p>", "<!--",
		"<a b=c ", "<template>", "<font><div>", "</p>", "<li>", "<nobr>", "<table><b>",
		"&", "<math><mi>", "<form>",
		"<frameset>", "<base href=x>", "<meta http-equiv=refresh content='1;x'>", "a\x00", "\xd0",
		"<x y=' <a href=1", "<b><a href=1></b>",
	} {
		page := strings.Repeat(p, (256<<10)/len(p))
		fast(t, len(page), 10*time.Microsecond, func() {
			doc, err := Document(response("text/html", page))
			if err != nil {
				t.Errorf("%q: %v", p, err)
			}
			Links(doc, nil, SkipNofollow())
		})
	}
}
