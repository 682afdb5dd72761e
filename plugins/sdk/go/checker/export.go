// Package checker answers whether a backend counts as available.
package checker

import (
	"errors"

	"umbel.dev/plugin/internal/caught"
	"umbel.dev/plugin/wit"
)

var check func(Context, Subject) (Verdict, error)

// Export says what judges; call it in an init function. An error that is no Fault reaches the host as
// MakeFaultInconclusive.
func Export(judge func(Context, Subject) (Verdict, error)) { check = judge }

// Check answers the host.
func Check(context Context, subject Subject) wit.Result[Verdict, Fault] {
	defer caught.Panic()
	caught.Registered(check != nil, "checker")
	verdict, err := check(context, subject)
	if err == nil {
		return wit.Ok[Verdict, Fault](verdict)
	}
	fault := MakeFaultInconclusive(err.Error())
	errors.As(err, &fault)
	return wit.Err[Verdict](fault)
}

// Error makes a fault an error.
func (f Fault) Error() string {
	switch text := f.value.(type) {
	case string:
		return text
	default:
		return "not mine"
	}
}
