// Package wit holds the types of WIT that Go has no word for.
package wit

import "fmt"

// Option is a value that may be missing. The zero value is None.
type Option[T any] struct {
	some  bool
	value T
}

// The tags of an Option.
const (
	OptionNone uint8 = iota
	OptionSome
)

// None is no value.
func None[T any]() Option[T] { return Option[T]{} }

// Some is a value.
func Some[T any](value T) Option[T] { return Option[T]{some: true, value: value} }

// Get gives the value and whether there is one.
func (o Option[T]) Get() (T, bool) { return o.value, o.some }

// Or gives the value, or another where there is none.
func (o Option[T]) Or(other T) T {
	if o.some {
		return o.value
	}
	return other
}

// Tag is OptionNone or OptionSome.
func (o Option[T]) Tag() uint8 {
	if o.some {
		return OptionSome
	}
	return OptionNone
}

// Some gives the value; it panics where there is none.
func (o Option[T]) Some() T {
	if !o.some {
		panic("wit: Some of None")
	}
	return o.value
}

// Result is a success or a failure.
type Result[T, E any] struct {
	failed  bool
	success T
	failure E
}

// The tags of a Result.
const (
	ResultOk uint8 = iota
	ResultErr
)

// Ok is a success.
func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{success: value} }

// Err is a failure.
func Err[T, E any](failure E) Result[T, E] { return Result[T, E]{failed: true, failure: failure} }

// IsErr tells a failure.
func (r Result[T, E]) IsErr() bool { return r.failed }

// Get gives the success, or the failure as an error: records, err := dns.Services(name).Get().
func (r Result[T, E]) Get() (T, error) {
	if !r.failed {
		return r.success, nil
	}
	if err, ok := any(r.failure).(error); ok {
		return r.success, err
	}
	return r.success, fmt.Errorf("%v", r.failure)
}

// Tag is ResultOk or ResultErr.
func (r Result[T, E]) Tag() uint8 {
	if r.failed {
		return ResultErr
	}
	return ResultOk
}

// Ok gives the success; it panics where there is none.
func (r Result[T, E]) Ok() T {
	if r.failed {
		panic("wit: Ok of a failure")
	}
	return r.success
}

// Err gives the failure; it panics where there is none.
func (r Result[T, E]) Err() E {
	if !r.failed {
		panic("wit: Err of a success")
	}
	return r.failure
}

// Tuple2 is a pair, such as a header with its value.
type Tuple2[A, B any] struct {
	F0 A
	F1 B
}

// Unit is nothing.
type Unit struct{}
