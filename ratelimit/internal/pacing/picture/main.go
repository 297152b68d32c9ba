// Command picture draws what a pacer and what backoff alone do at a server whose limit is unknown,
// in virtual time and with a fixed seed:
//
//	go run ./ratelimit/internal/pacing/picture > docs/pacer.svg
package main

import "os"

func main() {
	os.Stdout.WriteString(picture(paced(), backingOff()))
}
