// Finds the endpoints of a service by DNS SRV records.
package main

import (
	_ "embed"

	"umbel.dev/plugin/lifecycle"
	"umbel.dev/plugin/resolver"
	"umbel.dev/plugin/wit"
	_ "umbel.dev/plugin/worlds/resolver"
)

//go:embed settings.schema.json
var schema string

func init() {
	about := lifecycle.Description{
		Name:           "resolver-srv",
		Version:        "0.1.0",
		Summary:        "finds endpoints by DNS SRV records",
		SettingsSchema: wit.Some(schema),
	}
	lifecycle.Export(about, validate)
	resolver.Export(resolve)
}

func validate(text string) []lifecycle.Problem {
	if _, err := parse(text); err != nil {
		return []lifecycle.Problem{{Message: err.Error()}}
	}
	return nil
}

func main() {}
