package reprise_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestGuesses has the names that other libraries use, and that people therefore look for first,
// stand in the documentation of the name that does it here. So a search finds it.
func TestGuesses(t *testing.T) {
	t.Parallel()
	packages := map[string]map[string]string{}
	for _, dir := range []string{".", "retry", "policies", "breaker", "ratelimit", "httpx"} {
		packages[dir] = documentation(t, dir)
		if packages[dir][""] == "" {
			t.Errorf("package %s has no documentation", dir)
		}
	}
	for _, c := range []struct{ guess, pkg, name string }{
		{"MaxAttempts", "policies", "Attempts"},
		{"MaxRetries", "policies", "Attempts"},
		{"MaxTries", "policies", "Attempts"},
		{"UntilSucceeded", "policies", "Unlimited"},
		{"MaxElapsedTime", "policies", "MaxElapsed"},
		{"InitialInterval", "policies", "Initial"},
		{"Multiplier", "policies", "Factor"},
		{"MaxInterval", "policies", "MaxDelay"},
		{"Jitter", "policies", "WithJitter"},
		{"Notify", "policies", "OnRetry"},
		{"WithTimeout", "policies", "Timeout"},
		{"MaxConcurrency", "policies", "NewBulkhead"},
		{"semaphore", "policies", "NewBulkhead"},
		{"singleflight", "policies", "Coalesce"},
		{"load shedding", "policies", "Adaptive"},
		{"per host", "policies", "Keyed"},
		{"Execute", "retry", "Do"},
		{"DoWithData", "retry", "Do"},
		{"Unrecoverable", "retry", "Permanent"},
		{"RetryableError", "retry", "Permanent"},
		{"NewLimiter", "ratelimit", "New"},
		{"PerMinute", "ratelimit", "New"},
		{"token bucket", "ratelimit", "Limiter"},
		{"Allow", "ratelimit", "Limiter"},
		{"NewCircuitBreaker", "breaker", "New"},
		{"FailureThreshold", "breaker", "ConsecutiveFailures"},
		{"ResetTimeout", "breaker", "OpenFor"},
		{"MaxRequests", "breaker", "Probes"},
		{"ReadyToTrip", "breaker", "FailureRate"},
		{"OnStateChange", "breaker", "OnChange"},
		{"circuit breaker", "breaker", "Breaker"},
		{"NewClient", "httpx", "New"},
		{"WithRetry", "httpx", "WithPolicy"},
		{"CheckRetry", "httpx", "RetryOn"},
		{"downloads", "httpx", "Save"},
		{"UserAgent", "httpx", "Header"},
		{"WithTransport", "httpx", "WithClient"},
		{"WithProxy", "httpx", "WithClient"},
		{"WithCookieJar", "httpx", "WithClient"},
		{"WithTimeout", "httpx", "AttemptLimit"},
		{"Concurrency", "httpx", "Workers"},
		{"robots.txt", "httpx", "Polite"},
		{"load shedding", "httpx", "Guard"},
		{"stop_after_attempt", "policies", "Attempts"},
		{"MaxRetryAttempts", "policies", "Attempts"},
		{"SetRetryCount", "policies", "Attempts"},
		{"MaxDuration", "policies", "MaxElapsed"},
		{"stop_after_delay", "policies", "MaxElapsed"},
		{"RetryWaitMin", "policies", "Initial"},
		{"SetRetryWaitTime", "policies", "Initial"},
		{"start_timeout", "policies", "Initial"},
		{"RetryWaitMax", "policies", "MaxDelay"},
		{"max_timeout", "policies", "MaxDelay"},
		{"RandomizationFactor", "policies", "WithJitter"},
		{"JitterFactor", "policies", "WithJitter"},
		{"UseJitter", "policies", "WithJitter"},
		{"ShouldHandle", "policies", "RetryIf"},
		{"AbortIf", "policies", "RetryIf"},
		{"OnRetryScheduled", "policies", "OnRetry"},
		{"before_sleep", "policies", "OnRetry"},
		{"FixedDelay", "policies", "Constant"},
		{"ConstantBackOff", "policies", "Constant"},
		{"wait_random", "policies", "Random"},
		{"ListRetry", "policies", "Delays"},
		{"IsExcluded", "policies", "Neutral"},
		{"ignoreExceptions", "policies", "Neutral"},
		{"TimeLimiter", "policies", "Timeout"},
		{"maxConcurrentCalls", "policies", "NewBulkhead"},
		{"Settings", "breaker", "New"},
		{"FailureRatio", "breaker", "FailureRate"},
		{"failureRateThreshold", "breaker", "FailureRate"},
		{"Interval", "breaker", "Window"},
		{"slidingWindowSize", "breaker", "Window"},
		{"BreakDuration", "breaker", "OpenFor"},
		{"waitDurationInOpenState", "breaker", "OpenFor"},
		{"SuccessThreshold", "breaker", "Probes"},
		{"slowCallDurationThreshold", "breaker", "SlowCall"},
		{"NewSmooth", "ratelimit", "New"},
		{"NewBursty", "ratelimit", "New"},
		{"limitForPeriod", "ratelimit", "New"},
		{"AddRetryCondition", "httpx", "RetryOn"},
		{"status_forcelist", "httpx", "RetryOn"},
		{"raise_for_status", "httpx", "RaiseForStatus"},
		{"RequestLogHook", "httpx", "EachAttempt"},
		{"OnBeforeRequest", "httpx", "EachAttempt"},
		{"allowed_methods", "httpx", "RetryNonIdempotent"},
		{"SetResult", "httpx", "JSON"},
		{"SetTimeout", "httpx", "AttemptLimit"},
		{"SetAuthToken", "httpx", "Header"},
		{"Compose", "retry", "Chain"},
		{"Pipeline", "retry", "Chain"},
		{"retry_if_result", "retry", "Check"},
		{"HandleResult", "retry", "Check"},
		{"RetryWithData", "retry", "Do"},
		{"ExceededError", "retry", "Error"},
		{"LastErrorOnly", "retry", "Error"},
		{"metrics", "retry", "Observe"},
		{"OpenTelemetry", "retry", "Observe"},
		{"Prometheus", "retry", "Observe"},
	} {
		text, ok := packages[c.pkg][c.name]
		if !ok {
			t.Errorf("%s has no %s", c.pkg, c.name)
		} else if !regexp.MustCompile(`\b` + regexp.QuoteMeta(c.guess) + `\b`).MatchString(text) {
			t.Errorf("%s, looked for in %s, is not in the documentation of %s", c.guess, c.pkg,
				c.name)
		}
	}
}

// TestTheFieldsWords has the words that people search for stand where search engines look: in
// README and in the documentation of the root package.
func TestTheFieldsWords(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := strings.Join(strings.Fields(string(text)), " ")
	root := documentation(t, ".")[""]
	for _, word := range []string{
		"retry", "retries", "exponential backoff", "jitter", "circuit breaker", "token bucket",
		"rate limit", "retry budget", "hedging", "bulkhead", "load shedding",
		"adaptive concurrency", "timeout", "fallback", "metrics", "OpenTelemetry", "Prometheus",
	} {
		is := regexp.MustCompile(`(?i)\b` + word)
		if !is.MatchString(readme) {
			t.Errorf("README does not say %q", word)
		}
		if !is.MatchString(root) {
			t.Errorf("the root package's documentation does not say %q", word)
		}
	}
}

// documentation is what go doc says of each top-level name of a package; of the package at "".
func documentation(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths, err := sources(dir)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, "github.com/reprise-go/reprise/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	oneLine := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	texts := map[string]string{"": oneLine(p.Doc)}
	for _, f := range p.Funcs {
		texts[f.Name] = oneLine(f.Doc)
	}
	for _, typ := range p.Types {
		texts[typ.Name] = oneLine(typ.Doc)
		for _, f := range typ.Funcs {
			texts[f.Name] = oneLine(f.Doc)
		}
	}
	return texts
}
