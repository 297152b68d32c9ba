package sim

import (
	"math/rand/v2"

	"github.com/reprise-go/reprise/ratelimit/limitertest"
)

// A Share is how an hour of several pacers went that shared a limit of 10/s, each with 8 workers.
type Share struct {
	Goodput float64 // of the limit, all together
	Least   float64 // the least that any of them got, in fair shares, from the sixth minute on
	Most    float64 // the most, likewise
	Refused float64
	Bans    float64
}

// Sharing runs n pacers against a server.
func Sharing(mk Maker, srv *limitertest.Server, n int, seed uint64) Share {
	srv.Seed = seed
	c := Crawl{Server: srv, Workers: 8, Deadline: 3600, Net: .015, Seed: seed}
	for i := range n {
		c.Clients = append(c.Clients, mk(rand.New(rand.NewPCG(seed, uint64(100+i)))))
	}
	r := c.Run()
	s := Share{Goodput: float64(r.OK) / 36000, Refused: float64(r.Refused),
		Bans: float64(srv.Stats().Bans), Least: 1e9}
	for _, log := range r.Log {
		late := 0
		for _, at := range log {
			if at > 300 {
				late++
			}
		}
		share := float64(late) / (33000 / float64(n))
		s.Least, s.Most = min(s.Least, share), max(s.Most, share)
	}
	return s
}
