// Command picture draws what a pacer does beside what backoff alone does, on a
// server whose limit nobody tells, in virtual time and with a fixed seed:
//
//	go run ./ratelimit/internal/pacing/picture > docs/pacer.svg
package main

import "os"

func main() {
	os.Stdout.WriteString(picture(paced(), backingOff()))
}
