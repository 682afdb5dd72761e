// A backend is available when one of its endpoints answers a path with a status below 400.
package main

import (
	_ "embed"
	"fmt"
	"strings"

	"umbel.dev/plugin/checker"
	"umbel.dev/plugin/lifecycle"
	"umbel.dev/plugin/probe"
	"umbel.dev/plugin/settings"
	"umbel.dev/plugin/wit"
	_ "umbel.dev/plugin/worlds/health"
)

//go:embed settings.schema.json
var schema string

func init() {
	lifecycle.Export(lifecycle.Description{
		Name:           "example-plugin",
		Version:        "0.1.0",
		Summary:        "needs one endpoint that answers a path",
		SettingsSchema: wit.Some(schema),
	}, validate)
	checker.Export(check)
}

type options struct {
	Path string `json:"path"`
}

func validate(text string) []lifecycle.Problem {
	var o options
	if err := settings.Decode(text, &o); err != nil {
		return []lifecycle.Problem{{Message: err.Error()}}
	}
	if !strings.HasPrefix(o.Path, "/") {
		return []lifecycle.Problem{{Path: "/path", Message: "must begin with /, for example /readyz"}}
	}
	return nil
}

func check(context checker.Context, subject checker.Subject) (checker.Verdict, error) {
	var o options
	// The host has had these settings validated before the first call.
	if err := settings.Decode(context.Settings, &o); err != nil {
		return checker.Verdict{}, err
	}
	// Verdict.Memory comes back as context.Memory with the next call: a checker that counts keeps its count there.
	verdict := checker.Verdict{State: checker.StateDown, Reason: "NotReady", Message: "no endpoint answers well"}
	for endpoint := range subject.Endpoints {
		err := ask(uint32(endpoint), o.Path)
		if err == nil {
			return checker.Verdict{State: checker.StateUp, Reason: "Ready", Message: o.Path + " answers"}, nil
		}
		verdict.Findings = append(verdict.Findings,
			checker.Finding{Endpoint: uint32(endpoint), State: checker.StateDown, Message: err.Error()})
	}
	return verdict, nil
}

func ask(endpoint uint32, path string) error {
	answer, err := probe.Send(probe.Request{
		Endpoint:  endpoint,
		Method:    "GET",
		Path:      path,
		TimeoutMs: wit.Some(uint32(1_000)),
		BodyMax:   wit.Some(uint32(0)),
	}).Get()
	if err != nil {
		return err
	}
	if answer.Status >= 400 {
		return fmt.Errorf("%s answered %d", path, answer.Status)
	}
	return nil
}

func main() {}
