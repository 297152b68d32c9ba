// Command figures prints what the pacer reaches against the server models of
// ratelimit/limitertest, in virtual time and with fixed seeds.
//
//	go run ./ratelimit/internal/pacing/figures
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/internal/pacing/sim"
)

// The constants of the machine were chosen with seeds from 200, 500, 1000, 7000, 50000, 90000 and
// 300000 on. Those from 240000 on were not used for that, so the figures here are not fitted.
var (
	seed  = flag.Uint64("seed", 240_000, "the first seed")
	runs  = flag.Uint64("runs", 100, "short crawls per nominal server")
	draws = flag.Uint64("draws", 120, "drawn sets of 17 servers")
	hours = flag.Uint64("hours", 10, "runs of an hour per server")
	drawn = flag.Uint64("wide", 3000, "servers drawn widely")
)

func maker(r *rand.Rand) sim.Client { return pacing.New(pacing.Config{}, r) }

func main() {
	flag.Parse()
	wide()
	jails()
	blocked()
	short()
	long()
	changed()
	shared()
}

func seeds(n uint64) (s []uint64) {
	for i := range n {
		s = append(s, *seed+i)
	}
	return s
}

func short() {
	fmt.Println("\nSHORT CRAWLS: 400 pages, 8 workers, deadline 120 s, limits unknown")
	fmt.Printf("%-18s %6s %6s %6s %8s %8s %9s\n",
		"server", "score", "clean", "bans", "refused", "seconds", "perfect s")
	row := func(name string, v sim.Score) {
		fmt.Printf("%-18s %6.3f %6.2f %6.3f %8.1f %8.1f %9.1f\n",
			name, v.Score, v.Clean, v.Bans, v.Refused, v.Seconds, v.Perfect)
	}
	fs := sim.Families(nil)
	nominal := sim.Short(maker, fs, seeds(*runs), 8)
	for _, f := range fs {
		row(f.Name, nominal[f.Name])
	}
	for name, v := range sim.Short(maker, sim.Noisy(), seeds(*runs), 8) {
		row(name, v)
	}
	anew := sim.Drawn(maker, *seed, *draws)
	for _, l := range []struct {
		name string
		m    map[string]sim.Score
		n    uint64
		can  float64
	}{
		{"nominal", nominal, *runs, 17},
		{"drawn anew", anew, *draws, sim.Possible(*seed, *draws, 120)},
	} {
		t := sim.Mean(l.m)
		fmt.Printf("mean, %-10s %.3f; clean %.2f of 17 (%.2f if the limits were known); "+
			"%.4f bans a run in %d runs\n",
			l.name, t.Score, 17*t.Clean, l.can, t.Bans, 17*l.n)
	}
	for _, f := range fs {
		if b := anew[f.Name].Bans; b > 0 {
			fmt.Printf("  bans, drawn anew, on %s: %.3f a run\n", f.Name, b)
		}
	}
}

// goals are the best that two earlier models of the pacer reached: the goodput to reach, and the
// refusals and bans not to exceed.
var goals = map[string][3]float64{
	"nginx burst 0 0.03":          {85.6, 16, 0},
	"nginx burst 20 nodelay 0.03": {98, 17, 0},
	"nginx burst 20 delay 0.03":   {100, 0, 0},
	"haproxy 100/10s 0.03":        {96.5, 18, 0},
	"envoy 100/10s 0.03":          {97.8, 19.5, 0},
	"cf 100/10s ban 60 RA 0.03":   {86, 4.5, 4.5},
	"cf 600/60s ban 600 0.03":     {70.4, 14, 1.5},
	"ladder 0.03":                 {98, 17, 0},
	"nginx burst 0 0.12":          {60.1, 21, 0},
	"nginx burst 20 nodelay 0.12": {99.8, 16.5, 0},
	"haproxy 100/10s 0.12":        {97.1, 28.5, 0},
	"nginx burst 0 0.40":          {24.6, 7.5, 0},
	"nginx burst 20 nodelay 0.40": {97.9, 21, 0},
	"haproxy 100/10s 0.40":        {92.7, 58.5, 0},
}

func long() {
	fmt.Println("\nONE HOUR: limit 10/s, 64 workers (in brackets: the goals)")
	fmt.Printf("%-24s %5s %16s %14s %12s\n", "server", "RTT", "goodput %", "refused", "bans")
	servers := sim.LongServers()
	row := func(s sim.Server, rtt float64) {
		var g, r, b float64
		for _, sd := range seeds(*hours) {
			l := sim.Hour(maker, s.Make(), sd, rtt, 3600)
			g, r, b = g+l.Goodput, r+l.Refused, b+l.Bans
		}
		f := float64(*hours)
		goal := goals[fmt.Sprintf("%s %.2f", s.Name, rtt)]
		fmt.Printf("%-24s %5.2f %8.1f (%5.1f) %7.1f (%4.1f) %5.1f (%3.1f)\n",
			s.Name, rtt, 100*g/f, goal[0], r/f, goal[1], b/f, goal[2])
	}
	for _, s := range servers {
		row(s, .03)
	}
	for _, rtt := range []float64{.12, .4} {
		for _, i := range []int{0, 1, 3} {
			row(servers[i], rtt)
		}
	}
}

func changed() {
	fmt.Println("\nA LIMIT THAT CHANGES after an hour at 10/s: " +
		"seconds until 80 % of the new one is used, goodput of the rest")
	for _, f := range []float64{.5, 2, 4} {
		var back, worst, good float64
		for _, sd := range seeds(*hours) {
			b, g := sim.Changed(maker, sd, f)
			back, worst, good = back+b, max(worst, b), good+g
		}
		n := float64(*hours)
		fmt.Printf("x %.1f: %.0f s, at worst %.0f s; goodput %.1f %%\n",
			f, back/n, worst, 100*good/n)
	}
}

func shared() {
	fmt.Println("\nSEVERAL PACERS ON ONE LIMIT of 10/s, an hour: " +
		"goodput of all %, least and most share (1 is fair), refused in all, bans")
	servers := sim.LongServers()
	for _, i := range []int{1, 3, 4} {
		for _, n := range []int{2, 4} {
			var t sim.Share
			t.Least = 1e9
			for _, sd := range seeds(*hours) {
				s := sim.Sharing(maker, servers[i].Make(), n, sd)
				t.Goodput += s.Goodput / float64(*hours)
				t.Refused += s.Refused / float64(*hours)
				t.Bans += s.Bans / float64(*hours)
				t.Least, t.Most = min(t.Least, s.Least), max(t.Most, s.Most)
			}
			fmt.Printf("%-24s %d pacers: %5.1f %%   %.2f to %.2f   %.0f refused   %.1f bans\n",
				servers[i].Name, n, 100*t.Goodput, t.Least, t.Most, t.Refused, t.Bans)
		}
	}
}
