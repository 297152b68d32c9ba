package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/policies/internal/callee"
)

const ms = time.Millisecond

func flat[T any](v T) func(time.Duration) T { return func(time.Duration) T { return v } }

func main() {
	works := map[string]func(r *rand.Rand) time.Duration{
		"det": func(r *rand.Rand) time.Duration { return time.Duration((40 + 20*r.Float64()) * float64(ms)) },
		"exp": func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * 50 * float64(ms)) },
		"logn": func(r *rand.Rand) time.Duration {
			return time.Duration(math.Exp(r.NormFloat64()-.5) * 50 * float64(ms))
		},
		"two": func(r *rand.Rand) time.Duration {
			if r.Float64() < .2 {
				return 170 * ms
			}
			return 20 * ms
		},
	}
	for _, hands := range []int{2, 4, 20, 100} {
		for _, w := range []string{"det", "exp", "logn", "two"} {
			peak := float64(hands) / .05
			base := callee.Run(callee.Callee{Hands: flat(hands), Work: works[w]}, callee.NewFixed(1000), callee.Load{Rate: flat(peak / 4), For: 60 * time.Second, Seed: 1})
			u99 := base.Quantile(.99, 0, 60*time.Second)
			for _, s := range []string{"steady", "halved", "brown", "triple", "leak"} {
				c := callee.Callee{Hands: flat(hands), Work: works[w]}
				switch s {
				case "halved":
					c.Hands = func(now time.Duration) int {
						if now > 60*time.Second && now < 120*time.Second {
							return hands / 2
						}
						return hands
					}
				case "brown":
					c.Slow = func(now time.Duration) float64 {
						if now > 60*time.Second && now < 120*time.Second {
							return 2
						}
						return 1
					}
				case "triple":
					c.Slow = func(now time.Duration) float64 {
						if now > 60*time.Second && now < 61*time.Second {
							return 3
						}
						return 1
					}
				case "leak":
					c.Slow = func(now time.Duration) float64 { return 1 + now.Seconds()/60 }
				}
				over := 10.
				if hands > 50 {
					over = 3
				}
				r := callee.Run(c, callee.NewLearned(), callee.Load{Rate: flat(peak * over), For: 180 * time.Second, Seed: 2})
				gp := func(a, b int) float64 {
					return r.Goodput(time.Duration(a)*time.Second, time.Duration(b)*time.Second) / peak
				}
				q := func(a, b int) float64 {
					return float64(r.Quantile(.99, time.Duration(a)*time.Second, time.Duration(b)*time.Second)) / float64(u99)
				}
				fmt.Printf("%4d %-5s %-7s gp 5-60 %.2f | 60-62 %.2f 62-65 %.2f 65-70 %.2f 70-120 %.2f | 120-122 %.2f 122-130 %.2f 130-150 %.2f 150-180 %.2f | p99 0-5 %.2f 5-60 %.2f 70-120 %.2f 150- %.2f  L %v\n", hands, w, s,
					gp(5, 60), gp(60, 62), gp(62, 65), gp(65, 70), gp(70, 120), gp(120, 122), gp(122, 130), gp(130, 150), gp(150, 180), q(0, 5), q(5, 60), q(70, 120), q(150, 180),
					[]int{r.Limits[4], r.Limits[30], r.Limits[58], r.Limits[62], r.Limits[70], r.Limits[110], r.Limits[125], r.Limits[170]})
			}
		}
	}
}
