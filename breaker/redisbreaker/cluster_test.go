package redisbreaker_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/breaker/redisbreaker"
)

// A cluster rejects a script whose keys are not in one slot; here each of two nodes has half of
// them.
func TestCluster(t *testing.T) {
	var nodes []*redis.Client
	var addrs []string
	for range 2 {
		_, bus, _ := net.SplitHostPort(free(t))
		s := start(t, "--cluster-enabled", "yes", "--cluster-port", bus)
		c := client(t, s.addr)
		nodes, addrs = append(nodes, c), append(addrs, s.addr)
		if len(nodes) == 2 {
			first, port, _ := net.SplitHostPort(addrs[0])
			firstBus := nodes[0].ConfigGet(bg, "cluster-port").Val()["cluster-port"]
			if err := c.Do(bg, "CLUSTER", "MEET", first, port, firstBus).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, slots := range [][]any{{0, 8191}, {8192, 16383}} {
		err := nodes[i].Do(bg, append([]any{"CLUSTER", "ADDSLOTSRANGE"}, slots...)...).Err()
		if err != nil {
			t.Fatal(err)
		}
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	defer c.Close()
	eventually(t, "the cluster is there", func() bool {
		for _, n := range nodes {
			if info := n.ClusterInfo(bg).Val(); len(info) < 17 || info[:16] != "cluster_state:ok" {
				return false
			}
		}
		return true
	})

	s := redisbreaker.New(c)
	var mine []breaker.Report
	for i := range 100 {
		name := fmt.Sprintf("%d}{\n", i)
		for m := range 2 {
			mine = append(mine,
				breaker.Report{Name: name, Member: fmt.Sprint(m), Vote: breaker.Open,
					OpenFor: time.Minute})
		}
	}
	all, err := s.Exchange(bg, mine)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		if i%2 == 1 && f.State != breaker.Open {
			t.Errorf("%q: %+v", f.Name, f)
		}
	}
	for i, n := range nodes {
		if size := n.DBSize(bg).Val(); size < 50 {
			t.Errorf("node %d holds %d keys", i, size)
		}
	}
	if ok, err := s.Probe(bg, mine[0].Name, "0", 1, time.Second); ok || err != nil {
		t.Error(ok, err)
	}
}
