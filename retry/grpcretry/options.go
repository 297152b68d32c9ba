package grpcretry

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Option tunes an interceptor.
type Option func(*config)

type config struct {
	idempotent func(method string) bool
	hedgeAfter time.Duration
	hedgeMax   int
	trust      func(context.Context) bool
}

func configure(opts []Option) config {
	c := config{idempotent: declared, trust: func(context.Context) bool { return false }}
	for _, o := range opts {
		if o != nil {
			o(&c)
		}
	}
	return c
}

// Idempotent says which methods, as "/shop.Catalog/Get", may be called twice. It replaces the
// default, which reads idempotency_level in the proto file.
func Idempotent(f func(method string) bool) Option { return func(c *config) { c.idempotent = f } }

// Hedge makes a second unary call of an idempotent method beside one that has not answered after
// the given time, and so on up to max calls of one attempt: see policies.Hedge. Replies must be
// protobuf messages. Without it there is no hedging.
func Hedge(after time.Duration, max int) Option {
	return func(c *config) { c.hedgeAfter, c.hedgeMax = after, max }
}

// Trust says which callers are trusted with the priority and the number of attempts that they send.
// The default is none, because a stranger would call everything critical.
func Trust(f func(context.Context) bool) Option { return func(c *config) { c.trust = f } }

// known caches what the proto files declare: a look-up by name walks maps under a lock.
var known sync.Map // method -> bool

// declared reports whether the proto file says that the method may be called twice.
func declared(method string) bool {
	if v, ok := known.Load(method); ok {
		return v.(bool)
	}
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	m, isMethod := d.(protoreflect.MethodDescriptor)
	if err != nil || !isMethod {
		return false // not kept: any number of names may be asked for
	}
	idempotent := false
	if o, ok := m.Options().(*descriptorpb.MethodOptions); ok {
		level := o.GetIdempotencyLevel()
		idempotent = level == descriptorpb.MethodOptions_NO_SIDE_EFFECTS ||
			level == descriptorpb.MethodOptions_IDEMPOTENT
	}
	known.Store(method, idempotent)
	return idempotent
}
