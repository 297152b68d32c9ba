package pacing

import (
	"math"
	"testing"
)

func TestWhenARequestIsOverdue(t *testing.T) {
	var o overdue
	for i := range 3 {
		o.sent(Ticket{Sent: float64(i), seq: i + 1})
	}
	if at := o.next(); at != overdueFirst {
		t.Errorf("while nothing was answered: at %v", at)
	}
	o.back(Ticket{seq: 1})
	o.took(.5)
	if o.mean != .5 || o.last != .5 || o.limit() != 4 || o.next() != 1+4 {
		t.Errorf("after an answer in .5 s: %+v, next at %v", o, o.next())
	}
	if _, ok := o.due(4.9); ok {
		t.Error("due before its time")
	}
	if k, ok := o.due(5); !ok || k.seq != 2 {
		t.Errorf("%+v is due, %v", k, ok)
	}
	if at := o.next(); at != 2+4 {
		t.Errorf("the third is due at %v", at)
	}
	if k, ok := o.due(7); !ok || k.seq != 3 {
		t.Errorf("%+v is due, %v", k, ok)
	}
	if _, ok := o.due(100); ok || o.next() != inf {
		t.Error("one is due twice")
	}
	if !o.back(Ticket{seq: 2}) || o.back(Ticket{seq: 2}) ||
		o.back(Ticket{seq: 9}) || len(o.out) != 1 {
		t.Errorf("what was judged does not come back once: %+v", o.out)
	}
	if o.sent(Ticket{Sent: 8, seq: 4}); o.back(Ticket{seq: 4}) || !o.back(Ticket{seq: 3}) {
		t.Error("one that was not judged comes back judged")
	}
}

// How long an answer takes is a mean of the last forty, and another of the last six.
func TestHowLongAnswersTake(t *testing.T) {
	var o overdue
	o.took(1)
	o.took(2)
	if math.Abs(o.mean-(1+1/shareOf)) > 1e-9 || math.Abs(o.last-(1+1./6)) > 1e-9 {
		t.Errorf("after 1 and 2 s: %v and %v", o.mean, o.last)
	}
	if o.came(5); o.mean > 1.1 {
		t.Errorf("a page that came after 5 s makes the mean %v", o.mean)
	}
	if o.came(12); o.mean != 2 || o.limit() != 13 {
		t.Errorf("a page that came after 12 s is overdue after %v", o.limit())
	}
}
