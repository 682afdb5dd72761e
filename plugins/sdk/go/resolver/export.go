// Package resolver answers which endpoints a service resolves to.
package resolver

import (
	"errors"

	"umbel.dev/plugin/internal/caught"
	"umbel.dev/plugin/wit"
)

var resolve func(Context, Target) (Resolution, error)

// Export says what resolves; call it in an init function. An error that is no Fault reaches the host as
// MakeFaultOther.
func Export(answer func(Context, Target) (Resolution, error)) { resolve = answer }

// Resolve answers the host.
func Resolve(context Context, target Target) wit.Result[Resolution, Fault] {
	defer caught.Panic()
	caught.Registered(resolve != nil, "resolver")
	resolution, err := resolve(context, target)
	if err == nil {
		return wit.Ok[Resolution, Fault](resolution)
	}
	fault := MakeFaultOther(err.Error())
	errors.As(err, &fault)
	return wit.Err[Resolution](fault)
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
