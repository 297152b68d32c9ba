package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"
)

// config is the file that the service is started with.
type config struct {
	Listen   string     `json:"listen"`
	Database string     `json:"database"` // a data source name of SQLite
	Workers  int        `json:"workers"`  // that print receipts
	Front    front      `json:"front"`
	Catalog  dependency `json:"catalog"`
	Payments dependency `json:"payments"`
}

// front is the limit on the requests that run in the service at once. It is learned.
type front struct {
	Start int `json:"start"`
	Most  int `json:"most"`
	Queue int `json:"queue"`
}

// dependency is a service that this one calls, and what its guard is made of.
type dependency struct {
	URL      string   `json:"url"` // empty: one in this program
	Attempts int      `json:"attempts"`
	Timeout  duration `json:"timeout"`  // of an attempt
	Rate     float64  `json:"rate"`     // calls a second
	Burst    int      `json:"burst"`    // calls at once
	Failures int      `json:"failures"` // in a row that open the breaker
	Open     duration `json:"open"`     // for how long
}

//go:embed config.json
var builtin []byte

// load reads a file; without one it uses the built-in configuration. It does not check the numbers:
// the policies know what they must be, and retry.Validate asks them (see guards.go).
func load(file string) (c config, err error) {
	text, name := builtin, "the built-in configuration"
	if file != "" {
		name = file
		if text, err = os.ReadFile(file); err != nil {
			return c, err
		}
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&c); err != nil {
		return c, fmt.Errorf("%s: %w", name, place(text, err))
	}
	if _, err := in.Token(); err != io.EOF {
		return c, fmt.Errorf("%s: there is more after the end of the JSON", name)
	}
	for _, d := range []struct{ name, url string }{
		{"catalog", c.Catalog.URL}, {"payments", c.Payments.URL},
	} {
		if u, err := url.Parse(d.url); d.url != "" && (err != nil || u.Host == "") {
			return c, fmt.Errorf("%s: %s.url %q: must be an address such as http://10.0.0.7:8080",
				name, d.name, d.url)
		}
	}
	return c, nil
}

// place adds the line to an error of encoding/json that has an offset.
func place(text []byte, err error) error {
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	var offset int64
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &mistyped):
		offset = mistyped.Offset
	default:
		return err
	}
	return fmt.Errorf("line %d: %w",
		1+bytes.Count(text[:min(int(offset), len(text))], []byte("\n")), err)
}

// duration is a time.Duration that is written as in Go: "250ms".
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}
