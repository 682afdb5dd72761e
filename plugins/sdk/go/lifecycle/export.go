// Package lifecycle is what the host asks of every plugin while it loads it.
package lifecycle

import (
	"umbel.dev/plugin/internal/caught"
	"umbel.dev/plugin/wit"
)

var (
	description Description
	validate    func(settings string) []Problem
)

// Export says what the plugin is and what judges its settings; call it in an init function.
func Export(about Description, judge func(settings string) []Problem) {
	description, validate = about, judge
}

// Describe answers the host.
func Describe() Description {
	defer caught.Panic()
	caught.Registered(validate != nil, "lifecycle")
	return description
}

// Validate answers the host.
func Validate(settings string) wit.Result[wit.Unit, []Problem] {
	defer caught.Panic()
	caught.Registered(validate != nil, "lifecycle")
	if problems := validate(settings); len(problems) > 0 {
		return wit.Err[wit.Unit](problems)
	}
	return wit.Ok[wit.Unit, []Problem](wit.Unit{})
}
