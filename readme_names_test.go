package reprise_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeNamesWhatThereIs has every name of these packages that README writes, in tables and in
// sentences, be in the package's API file.
func TestReadmeNamesWhatThereIs(t *testing.T) {
	files := map[string]string{
		"retry": "retry", "policies": "policies", "breaker": "breaker", "ratelimit": "ratelimit",
		"httpx": "httpx", "htmlpage": "httpx_htmlpage", "redislimit": "ratelimit_redislimit",
		"redisbreaker": "breaker_redisbreaker", "otelretry": "retry_otelretry",
		"retrytest": "retry_retrytest", "retrydebug": "retry_retrydebug",
		"grpcretry": "retry_grpcretry",
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	// names after a URL's slash are of other modules
	found := regexp.MustCompile(`(^|[^/\w.])([a-z]+)\.([A-Z]\w*)`).FindAllStringSubmatch(
		string(readme), -1)
	names := 0
	for _, f := range found {
		file, ok := files[f[2]]
		if !ok {
			continue
		}
		names++
		api, err := os.ReadFile("api/" + file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		is := regexp.MustCompile(`(?m)^(func|type|var|const) ` + f[3] + `\b`)
		if !is.Match(api) && !strings.Contains(string(api), "("+f[3]+")") {
			t.Errorf("README writes %s.%s, which does not exist", f[2], f[3])
		}
	}
	if names < 100 {
		t.Errorf("%d names found: has the pattern gone stale?", names)
	}
}
