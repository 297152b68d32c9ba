package retry

import "context"

// Check lets accept judge the value of a successful call. An error from accept makes the call a
// failure like any other to the policies around it. The value comes back beside the error.
// Elsewhere this is HandleResult or retry_if_result.
func Check[T any](
	call func(context.Context) (T, error), accept func(T) error,
) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		if call == nil || accept == nil {
			var zero T
			return zero, errNilCheck
		}
		value, err := call(ctx)
		if err == nil {
			err = accept(value)
		}
		return value, err
	}
}
