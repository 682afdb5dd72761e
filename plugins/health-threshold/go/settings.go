package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"umbel.dev/plugin/settings"
)

// What an operator may set, all of it optional.
type options struct {
	Path      string    `json:"path"`
	Method    string    `json:"method"`
	Status    [2]uint16 `json:"status"`
	Failures  uint32    `json:"failures"`
	Successes uint32    `json:"successes"`
	TimeoutMs uint32    `json:"timeoutMs"`
	RetryMs   uint32    `json:"retryMs"`
	Need      string    `json:"need"`
}

func parse(text string) (options, error) {
	o := options{
		Path: "/readyz", Method: "GET", Status: [2]uint16{200, 299},
		Failures: 3, Successes: 1, TimeoutMs: 1000, RetryMs: 1000, Need: "one",
	}
	if err := settings.Decode(text, &o); err != nil {
		return o, err
	}
	switch {
	case !strings.HasPrefix(o.Path, "/") || strings.ContainsFunc(o.Path, unicode.IsSpace):
		return o, errors.New("path must start with / and hold no spaces")
	case o.Method != "GET" && o.Method != "HEAD":
		return o, errors.New("method must be GET or HEAD")
	case o.Failures == 0 || o.Successes == 0:
		return o, errors.New("failures and successes must be at least 1")
	case o.Status[0] > o.Status[1]:
		return o, errors.New("status must be [first, last], such as [200, 299]")
	case o.TimeoutMs == 0 || o.RetryMs == 0:
		return o, errors.New("timeoutMs and retryMs must be at least 1")
	case o.Need != "one" && o.Need != "all":
		return o, fmt.Errorf("need is %q; one and all are known", o.Need)
	}
	return o, nil
}
