package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

const file = "../../../../docs/pacer.svg"

var crawls = sync.OnceValues(func() (pacer, backoff record) { return paced(), backingOff() })

func TestThePictureIsCurrent(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("another processor may round a product and a sum at once, and the " +
			"crawl then goes another way")
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != picture(crawls()) {
		t.Error(
			"docs/pacer.svg is stale: go run ./ratelimit/internal/pacing/picture > docs/pacer.svg")
	}
}

func TestThePictureIsWellFormedAndSmall(t *testing.T) {
	p := picture(crawls())
	if len(p) > 60_000 {
		t.Errorf("%d bytes", len(p))
	}
	if strings.Contains(p, "NaN") || strings.Contains(p, "Inf") {
		t.Error("a coordinate is no number")
	}
	d := xml.NewDecoder(strings.NewReader(p))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// What stands beside the picture in the README.
func TestThePictureShowsWhatIsSaidOfIt(t *testing.T) {
	p, b := crawls()
	t.Logf("pacer: %d accepted, %d refused, found %.1f, first %.0f %%", len(p.accepted),
		len(p.refused), p.found, 100*p.share)
	t.Logf("backoff: %d accepted, %d refused", len(b.accepted), len(b.refused))
	if len(p.found) != 1+len(changes) || p.found[0] > 3 || p.found[1] > 10 || p.found[2] > 300 {
		t.Errorf("the limits were found after %.1f s", p.found)
	}
	for i, at := range p.refused {
		if i >= 4 && at-p.refused[i-4] < 60 {
			t.Errorf("the fifth refusal within a minute, at %.0f s", at)
		}
	}
	if 1000*len(p.refused) > len(b.refused) {
		t.Errorf("%d refusals with the pacer, %d without", len(p.refused), len(b.refused))
	}
	most := 0.
	for _, c := range changes {
		most += limit * c.factor * 1200
	}
	if most += limit * 1200; float64(len(b.accepted)) > most+burst+1 ||
		float64(len(p.accepted)) < .9*most {
		t.Errorf("%d and %d accepted, the limits permit %.0f", len(p.accepted), len(b.accepted),
			most)
	}
}

func TestNothingLeavesItsPanel(t *testing.T) {
	p, b := crawls()
	for _, c := range columns {
		for _, v := range slices.Concat(c.rates(p.accepted), c.rates(b.accepted)) {
			if v > above+.5 {
				t.Errorf("%.1f accepted a second, room for %.0f", v, above)
			}
		}
		if v := slices.Max(c.rates(p.refused)); v > few {
			t.Errorf("%.1f refused a second with the pacer, room for %.0f", v, few)
		}
		if v := slices.Max(c.rates(b.refused)); v > many {
			t.Errorf("%.1f refused a second without, room for %.0f", v, many)
		}
	}
}
