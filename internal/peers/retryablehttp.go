package main

import (
	"context"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

var retryable = library{
	name: "go-retryablehttp v0.7.8",
	client: func(base http.RoundTripper, first time.Duration) send {
		client := retryablehttp.NewClient()
		client.HTTPClient = &http.Client{Transport: base}
		client.Logger = nil // it logs every request by default
		client.RetryMax, client.RetryWaitMin, client.RetryWaitMax = 2, first, 30*time.Second
		return func(ctx context.Context, method, url string, body []byte) (*http.Response, error) {
			var raw any
			if body != nil {
				raw = body
			}
			req, err := retryablehttp.NewRequestWithContext(ctx, method, url, raw)
			if err != nil {
				return nil, err
			}
			return client.Do(req)
		}
	},
}
