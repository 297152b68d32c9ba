module github.com/reprise-go/reprise/httpx/htmlpage

go 1.26.0

require github.com/reprise-go/reprise v0.0.0-00010101000000-000000000000

require (
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)

replace github.com/reprise-go/reprise => ../..
