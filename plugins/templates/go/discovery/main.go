// Hides the groups that the settings name from discovery.
package main

import (
	_ "embed"
	"encoding/json"
	"slices"

	"umbel.dev/plugin/lifecycle"
	"umbel.dev/plugin/settings"
	"umbel.dev/plugin/transformer"
	"umbel.dev/plugin/wit"
	_ "umbel.dev/plugin/worlds/discovery"
)

//go:embed settings.schema.json
var schema string

func init() {
	lifecycle.Export(lifecycle.Description{
		Name:           "example-plugin",
		Version:        "0.1.0",
		Summary:        "hides groups from discovery",
		SettingsSchema: wit.Some(schema),
	}, validate)
	transformer.Export(transform, order)
}

type options struct {
	Hide []string `json:"hide"`
}

func validate(text string) []lifecycle.Problem {
	var o options
	if err := settings.Decode(text, &o); err != nil {
		return []lifecycle.Problem{{Message: err.Error()}}
	}
	if o.Hide == nil {
		return []lifecycle.Problem{{Path: "/hide", Message: "needs a list of groups, each a text"}}
	}
	return nil
}

func transform(context transformer.Context, text string) (transformer.Outcome, error) {
	var o options
	// The host has had these settings validated before the first call.
	if err := settings.Decode(context.Settings, &o); err != nil {
		return transformer.MakeOutcomeKeep(), err
	}
	var group struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(text), &group); err != nil {
		return transformer.MakeOutcomeKeep(), err
	}
	if slices.Contains(o.Hide, group.Metadata.Name) {
		return transformer.MakeOutcomeHide("the settings of the plugin hide " + group.Metadata.Name), nil
	}
	// To change the group: MakeOutcomeReplace with the changed document.
	return transformer.MakeOutcomeKeep(), nil
}

func order(transformer.Context, []transformer.Head) ([]string, error) { return nil, nil }

func main() {}
