// Package caught turns a panic into one line of the host's log.
package caught

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"umbel.dev/plugin/log"
	"umbel.dev/plugin/wit"
)

// How many callers the line names.
const depth = 6

// Panic is for defer round every call of the host. The call ends as a trap either way; Go's own message would reach
// the log in a dozen pieces.
func Panic() {
	cause := recover()
	// The last line that the plugin printed may have no end.
	for _, channel := range []*os.File{os.Stdout, os.Stderr} {
		channel.WriteString("\n")
	}
	if cause == nil {
		return
	}
	fields := []wit.Tuple2[string, string]{{F0: "at", F1: callers()}}
	log.Write(log.LevelError, fmt.Sprint("panic: ", cause), fields)
	os.Exit(2)
}

// Registered panics unless a plugin has registered its functions with a package.
func Registered(isRegistered bool, name string) {
	if !isRegistered {
		panic(name + ".Export was never called; call it in an init function")
	}
}

// Whether a function is the plugin's own: not of the runtime, and not generated.
func isOwn(function string) bool {
	for _, prefix := range []string{"runtime.", "umbel.dev/plugin/worlds/", "umbel:"} {
		if strings.HasPrefix(function, prefix) {
			return false
		}
	}
	return function != ""
}

func callers() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var places []string
	for len(places) < depth {
		frame, more := frames.Next()
		if isOwn(frame.Function) {
			places = append(places, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		}
		if !more {
			break
		}
	}
	return strings.Join(places, " < ")
}
