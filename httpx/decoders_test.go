package httpx_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/reprise-go/reprise/httpx"
)

// reply is what Fetch hands to a decoder.
func reply(ctx context.Context, body io.Reader, length int64) *http.Response {
	r := answer(nil, 200, io.NopCloser(body))
	r.Status, r.ContentLength = "200 OK", length
	r.Request = (&http.Request{}).WithContext(ctx)
	return r
}

func TestBodiesOfAnySizeAreReadWhole(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 4096, 100_000, 3<<20 + 7} {
		want := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
		for _, length := range []int64{-1, 0, 1, int64(size), 1 << 40} {
			for name, broken := range map[string]error{"whole": nil, "broken off": errBang} {
				body := func() io.Reader {
					if broken == nil {
						return iotest.HalfReader(strings.NewReader(want))
					}
					return io.MultiReader(strings.NewReader(want), iotest.ErrReader(broken))
				}
				b, err := httpx.Bytes(reply(t.Context(), body(), length))
				if string(b) != want || err != broken {
					t.Errorf("%s, %d of %d: Bytes: %d bytes, %v", name, size, length, len(b), err)
				}
				s, err := httpx.Text(reply(t.Context(), body(), length))
				if s != want || err != broken {
					t.Errorf("%s, %d of %d: Text: %d bytes, %v", name, size, length, len(s), err)
				}
			}
		}
	}
}

// What an ended call has read of a large body is not copied any more.
func TestALargeBodyIsNotJoinedWhenTheContextEnds(t *testing.T) {
	over := errors.New("over")
	for _, c := range []struct{ size, most int }{{300_000, 300_000}, {20 << 20, 1 << 20}} {
		for name, decode := range map[string]httpx.Decoder[string]{
			"Bytes": func(r *http.Response) (string, error) {
				b, err := httpx.Bytes(r)
				if cap(b) > 2*c.most {
					t.Errorf("room for %d bytes", cap(b))
				}
				return string(b), err
			},
			"Text": httpx.Text,
		} {
			for _, broken := range []error{nil, errBang} {
				ctx, cancel := context.WithCancelCause(t.Context())
				text := strings.Repeat("x", c.size)
				end := readerFunc(func([]byte) (int, error) {
					cancel(over)
					if broken != nil {
						return 0, broken
					}
					return 0, io.EOF
				})
				v, err := decode(reply(ctx, io.MultiReader(strings.NewReader(text), end), -1))
				want := broken
				if want == nil && c.most < c.size {
					want = over
				}
				if len(v) > c.most || len(v) < c.most/2 ||
					!strings.HasPrefix(text, v) || err != want {
					t.Errorf("%s of %d, %v: %d bytes, %v", name, c.size, broken, len(v), err)
				}
			}
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A large body is decoded beside the call; nothing else may differ.
func TestLargeJSONIsDecodedLikeSmallOne(t *testing.T) {
	type row struct{ Name string }
	pad := strings.Repeat(" ", 400<<10)
	rows := "[" + strings.Repeat(`{"Name":"a long enough name"},`, 20_000) + `{"Name":"last"}]`
	for _, c := range []struct {
		name, body string
		broken     error
		rows       int
		is         error
		says       string
	}{
		{"whole", rows, nil, 20_001, nil, ""},
		{"with a byte order mark", "\ufeff" + rows + pad, nil, 20_001, nil, ""},
		{"spaces before and after", pad + "[{}]" + pad, nil, 1, nil, ""},
		{"a page", "<html>" + pad, nil, 0, nil,
			`invalid character '<' looking for beginning of value (200 OK, no type: "<html>   `},
		{"another type", `"` + pad + `"`, nil, 0, nil, "cannot unmarshal string"},
		{"two values", rows + rows, nil, 20_001, nil, "more than one value"},
		{"cut", rows[:len(rows)-1], nil, 0, io.ErrUnexpectedEOF,
			`(200 OK, no type: "[{\"Name\":\"a long`},
		{"broken off", rows[:len(rows)-1], errBang, 0, errBang, ""},
		{"broken off after the value", rows, errBang, 20_001, errBang, ""},
		{"broken off early", "[", errBang, 0, errBang, ""},
	} {
		for _, length := range []int64{-1, int64(len(c.body))} {
			body := io.Reader(strings.NewReader(c.body))
			if c.broken != nil {
				body = io.MultiReader(body, iotest.ErrReader(c.broken))
			}
			v, err := httpx.JSON[[]row](reply(t.Context(), body, length))
			if len(v) != c.rows || (err == nil) != (c.is == nil && c.says == "") ||
				c.is != nil && !errors.Is(err, c.is) ||
				err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %d rows, %.200v", c.name, len(v), err)
			}
		}
	}
}

// stubborn takes for ever to decode.
type stubborn struct{ begun bool }

var hang = make(chan func(), 1)

func (s *stubborn) UnmarshalJSON([]byte) error {
	s.begun = true
	f := <-hang
	f()
	return nil
}

var large = strings.Repeat(" ", 300<<10) + "{}"

func TestJSONDoesNotOutlastTheContext(t *testing.T) {
	over := errors.New("over")
	ctx, cancel := context.WithCancelCause(t.Context())
	release := make(chan struct{})
	defer close(release)
	hang <- func() {
		cancel(over)
		<-release
	}
	v, err := httpx.JSON[stubborn](reply(ctx, strings.NewReader(large), -1))
	if v.begun || !errors.Is(err, over) {
		t.Errorf("%v, %v", v, err)
	}
}

func TestAPanicOfAnUnmarshalerReachesTheCaller(t *testing.T) {
	for name, f := range map[string]func(){
		"panic":  func() { panic(errBang) },
		"Goexit": runtime.Goexit,
	} {
		func() {
			defer func() {
				if p, _ := recover().(error); p == nil || name == "panic" && p != errBang {
					t.Errorf("%s: recovered %v", name, p)
				}
			}()
			hang <- f
			_, _ = httpx.JSON[stubborn](reply(t.Context(), strings.NewReader(large), -1))
		}()
	}
}

// The bubble fails if a goroutine is left.
func TestABodyThatPanicsEndsTheDecoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != errBang {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = httpx.JSON[item](reply(t.Context(), io.MultiReader(strings.NewReader(large[1:]),
			readerFunc(func([]byte) (int, error) { panic(errBang) })), -1))
	})
}
