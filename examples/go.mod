module github.com/reprise-go/reprise/examples

go 1.26.0

require github.com/reprise-go/reprise v0.0.0

replace github.com/reprise-go/reprise => ../
