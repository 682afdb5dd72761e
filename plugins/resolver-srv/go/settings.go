package main

import (
	"errors"
	"fmt"
	"strings"

	"umbel.dev/plugin/settings"
)

// What an operator may set, all of it optional.
type options struct {
	// The SRV name to ask for. {host}, {name} and {namespace} stand for those of the service.
	Name string `json:"name"`
	// Longest time for which an answer is good, whatever its TTL says.
	FreshSecondsMax uint32 `json:"freshSecondsMax"`
	// How long the last answer serves while DNS fails.
	StaleSeconds uint32 `json:"staleSeconds"`
	// Whether to look up the addresses of the records' targets here. Without it the gateway does.
	LookupAddresses bool `json:"lookupAddresses"`
}

func parse(text string) (options, error) {
	o := options{Name: "_https._tcp.{host}", FreshSecondsMax: 300, StaleSeconds: 600, LookupAddresses: true}
	if err := settings.Decode(text, &o); err != nil {
		return o, err
	}
	if o.Name == "" {
		return o, errors.New("name is empty; leave it out or write a name such as _https._tcp.{host}")
	}
	for rest := o.Name; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			break
		}
		word, after, closed := strings.Cut(after, "}")
		switch {
		case !closed:
			return o, errors.New("name has a { without }")
		case word != "host" && word != "name" && word != "namespace":
			return o, fmt.Errorf("name has {%s}; {host}, {name} and {namespace} are known", word)
		}
		rest = after
	}
	if o.FreshSecondsMax == 0 {
		return o, errors.New("freshSecondsMax must be at least 1")
	}
	return o, nil
}
