// Package transformer answers how merged discovery looks.
package transformer

import (
	"umbel.dev/plugin/internal/caught"
	"umbel.dev/plugin/wit"
)

var (
	transform func(Context, string) (Outcome, error)
	order     func(Context, []Head) ([]string, error)
)

// Export says what changes a group and what orders the groups; call it in an init function. Names of nil keep the
// present order.
func Export(change func(Context, string) (Outcome, error), arrange func(Context, []Head) ([]string, error)) {
	transform, order = change, arrange
}

// Transform answers the host.
func Transform(context Context, group string) wit.Result[Outcome, string] {
	defer caught.Panic()
	caught.Registered(transform != nil, "transformer")
	outcome, err := transform(context, group)
	if err != nil {
		return wit.Err[Outcome](err.Error())
	}
	return wit.Ok[Outcome, string](outcome)
}

// Order answers the host.
func Order(context Context, groups []Head) wit.Result[wit.Option[[]string], string] {
	defer caught.Panic()
	caught.Registered(order != nil, "transformer")
	names, err := order(context, groups)
	switch {
	case err != nil:
		return wit.Err[wit.Option[[]string]](err.Error())
	case names == nil:
		return wit.Ok[wit.Option[[]string], string](wit.None[[]string]())
	default:
		return wit.Ok[wit.Option[[]string], string](wit.Some(names))
	}
}
