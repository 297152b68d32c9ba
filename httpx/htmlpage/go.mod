module github.com/reprise-go/reprise/httpx/htmlpage

go 1.26.0

require (
	github.com/PuerkitoBio/goquery v1.13.0
	github.com/reprise-go/reprise v0.0.0
	golang.org/x/net v0.62.0
	golang.org/x/text v0.44.0
)

require (
	github.com/andybalholm/cascadia v1.3.4 // indirect
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
)

replace github.com/reprise-go/reprise => ../..
