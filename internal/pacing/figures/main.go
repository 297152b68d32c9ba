// Command figures prints what the pacer reaches against the server models.
package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/reprise-go/reprise/internal/pacing"
	"github.com/reprise-go/reprise/internal/pacing/sim"
)

func main() {
	mk := func(r *rand.Rand) sim.Client { return pacing.New(pacing.Config{}, r) }
	seeds := func(a, n uint64) (s []uint64) {
		for i := range n {
			s = append(s, a+i)
		}
		return s
	}
	fs := sim.Families(nil)
	m := sim.Short(mk, fs, seeds(200, 30), 8)
	for _, f := range fs {
		v := m[f.Name]
		fmt.Printf("%-18s %.2f %.2f %.2f %5.1f %6.1f (%.1f)\n", f.Name, v.Score, v.Clean, v.Bans, v.Refused, v.Seconds, v.Perfect)
	}
	t := sim.Mean(m)
	fmt.Printf("mean %.3f clean %.2f bans %.4f\n", t.Score, 17*t.Clean, t.Bans)
	dr := sim.Drawn(mk, 7000, 120)
	for n, s := range dr {
		if s.Bans > 0 {
			fmt.Printf("drawnban %s %.3f\n", n, s.Bans)
		}
	}
	t = sim.Mean(dr)
	fmt.Printf("drawn %.3f clean %.2f bans %.4f\n", t.Score, 17*t.Clean, t.Bans)
	t = sim.Mean(sim.Short(mk, sim.Noisy(), seeds(200, 60), 8))
	fmt.Printf("noisy %.3f\n", t.Score)
	hour := func(s sim.Server, rtt float64, n uint64) {
		var g, r, b float64
		for i := range n {
			l := sim.Hour(mk, s.Make(), 200+i, rtt, 3600)
			g, r, b = g+l.Goodput, r+l.Refused, b+l.Bans
		}
		f := float64(n)
		fmt.Printf("%-24s rtt %.2f  %5.1f %5.1f %4.1f\n", s.Name, rtt, 100*g/f, r/f, b/f)
	}
	ls := sim.LongServers()
	for _, s := range ls {
		hour(s, .03, 10)
	}
	for _, rtt := range []float64{.12, .4} {
		for _, i := range []int{0, 1, 3} {
			hour(ls[i], rtt, 10)
		}
	}
	for _, f := range []float64{.5, 3} {
		var b, g float64
		for i := range uint64(10) {
			x, y := sim.Changed(mk, 200+i, f)
			b, g = b+x, g+y
		}
		fmt.Printf("x%.1f: %.0f s %.1f %%\n", f, b/10, 10*g)
	}
}
