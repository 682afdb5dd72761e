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
	if cause == nil {
		return
	}
	fields := []wit.Tuple2[string, string]{{F0: "at", F1: callers()}}
	log.Write(log.LevelError, fmt.Sprint("panic: ", cause), fields)
	os.Exit(2)
}

func callers() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var places []string
	for len(places) < depth {
		frame, more := frames.Next()
		if frame.Function != "" && !strings.HasPrefix(frame.Function, "runtime.") {
			places = append(places, fmt.Sprintf("%s:%d", frame.Function, frame.Line))
		}
		if !more {
			break
		}
	}
	return strings.Join(places, " < ")
}
