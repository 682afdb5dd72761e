// Hides and reorders groups by rule.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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
		Name:           "discovery-filter",
		Version:        "0.1.0",
		Summary:        "hides and reorders groups by rule",
		SettingsSchema: wit.Some(schema),
	}, validate)
	transformer.Export(transform, order)
}

type rules struct {
	Hide         []string         `json:"hide"`
	Show         []string         `json:"show"`
	HideVersions []hiddenVersions `json:"hideVersions"`
	First        []string         `json:"first"`
	Last         []string         `json:"last"`
}

type hiddenVersions struct {
	Group    *string   `json:"group"`
	Versions *[]string `json:"versions"`
}

func parse(text string) (rules, error) {
	var r rules
	if err := settings.Decode(text, &r); err != nil {
		return r, err
	}
	if slices.Contains(slices.Concat(r.Hide, r.Show, r.First, r.Last), "") {
		return r, errors.New("a list holds an empty text; write a group or a pattern such as *.example.com")
	}
	for _, rule := range r.HideVersions {
		if rule.Group == nil || rule.Versions == nil {
			return r, errors.New("each of hideVersions needs group and versions")
		}
	}
	return r, nil
}

func validate(text string) []lifecycle.Problem {
	if _, err := parse(text); err != nil {
		return []lifecycle.Problem{{Message: err.Error()}}
	}
	return nil
}

func transform(context transformer.Context, text string) (transformer.Outcome, error) {
	keep := transformer.MakeOutcomeKeep()
	r, err := parse(context.Settings)
	if err != nil {
		return keep, err
	}
	var group map[string]json.RawMessage
	var metadata struct{ Name string }
	if err := json.Unmarshal([]byte(text), &group); err != nil {
		return keep, err
	}
	if err := json.Unmarshal(group["metadata"], &metadata); err != nil {
		return keep, err
	}
	if at := place(r.Hide, metadata.Name); at >= 0 && place(r.Show, metadata.Name) < 0 {
		return transformer.MakeOutcomeHide(fmt.Sprintf("the rule %q hides it", r.Hide[at])), nil
	}
	var hidden []string
	for _, rule := range r.HideVersions {
		if matches(*rule.Group, metadata.Name) {
			hidden = append(hidden, *rule.Versions...)
		}
	}
	if len(hidden) == 0 {
		return keep, nil
	}
	var versions []json.RawMessage
	if err := json.Unmarshal(group["versions"], &versions); err != nil {
		return keep, errors.New("the group has no versions")
	}
	before := len(versions)
	versions = slices.DeleteFunc(versions, func(version json.RawMessage) bool {
		var named struct{ Version string }
		return json.Unmarshal(version, &named) == nil && place(hidden, named.Version) >= 0
	})
	switch len(versions) {
	case before:
		return keep, nil
	case 0:
		return transformer.MakeOutcomeHide("every version of it is hidden"), nil
	}
	if group["versions"], err = json.Marshal(versions); err != nil {
		return keep, err
	}
	document, err := json.Marshal(group)
	return transformer.MakeOutcomeReplace(string(document)), err
}

func order(context transformer.Context, groups []transformer.Head) ([]string, error) {
	r, err := parse(context.Settings)
	if err != nil || len(r.First)+len(r.Last) == 0 {
		return nil, err
	}
	rank := func(name string) int {
		if at := place(r.First, name); at >= 0 {
			return at - len(r.First)
		}
		return place(r.Last, name) + 1
	}
	names := []string{}
	for _, group := range groups {
		names = append(names, group.Name)
	}
	// Stable: groups of the same place keep their order.
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	return names, nil
}

// The index of the first pattern that fits, or -1.
func place(patterns []string, text string) int {
	return slices.IndexFunc(patterns, func(pattern string) bool { return matches(pattern, text) })
}

// Whether the whole text fits a pattern in which * stands for any text, the empty one included.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, fits := strings.CutPrefix(text, parts[0])
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		text, fits = after, fits && found
	}
	return fits && strings.HasSuffix(text, parts[len(parts)-1])
}

func main() {}
