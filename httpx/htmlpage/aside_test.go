package htmlpage

import (
	"context"
	"errors"
	"testing"
)

func TestAside(t *testing.T) {
	over, bang := errors.New("over"), errors.New("bang")
	ctx, cancel := context.WithCancelCause(t.Context())
	if v, err := aside(ctx, func() (int, error) { return 7, bang }); v != 7 || err != bang {
		t.Errorf("%d, %v", v, err)
	}
	func() {
		defer func() {
			if p := recover(); p != bang {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = aside(ctx, func() (int, error) { panic(bang) })
	}()
	release := make(chan struct{})
	defer close(release)
	v, err := aside(ctx, func() (int, error) {
		cancel(over)
		<-release // it takes for ever
		return 7, nil
	})
	if v != 0 || err != over {
		t.Errorf("%d, %v when the context has ended", v, err)
	}
}
