// Finds the endpoints of a service by the addresses of <name>.<namespace>.<zone>.
package main

import (
	_ "embed"
	"errors"
	"fmt"

	"umbel.dev/plugin/dns"
	"umbel.dev/plugin/lifecycle"
	"umbel.dev/plugin/resolver"
	"umbel.dev/plugin/settings"
	"umbel.dev/plugin/wit"
	_ "umbel.dev/plugin/worlds/resolver"
)

//go:embed settings.schema.json
var schema string

func init() {
	lifecycle.Export(lifecycle.Description{
		Name:           "example-plugin",
		Version:        "0.1.0",
		Summary:        "finds endpoints by the addresses of a name in a DNS zone",
		SettingsSchema: wit.Some(schema),
	}, validate)
	resolver.Export(resolve)
}

type options struct {
	Zone string `json:"zone"`
}

func validate(text string) []lifecycle.Problem {
	var o options
	if err := settings.Decode(text, &o); err != nil {
		return []lifecycle.Problem{{Message: err.Error()}}
	}
	if o.Zone == "" {
		return []lifecycle.Problem{{Path: "/zone", Message: "needs a DNS zone such as svc.example.com"}}
	}
	return nil
}

func resolve(context resolver.Context, target resolver.Target) (resolver.Resolution, error) {
	var o options
	// The host has had these settings validated before the first call.
	if err := settings.Decode(context.Settings, &o); err != nil {
		return resolver.Resolution{}, err
	}
	name := fmt.Sprintf("%s.%s.%s", target.Name, target.Namespace, o.Zone)
	addresses, err := dns.Addresses(name, dns.FamilyAny).Get()
	if err != nil {
		return resolver.Resolution{}, translate(name, err)
	}
	answer := resolver.Resolution{StaleMs: wit.Some(uint32(600_000))}
	for _, address := range addresses {
		answer.FreshMs = wit.Some(min(answer.FreshMs.Or(address.TtlMs), address.TtlMs))
		answer.Endpoints = append(answer.Endpoints,
			resolver.Endpoint{Host: address.Ip, Port: target.Port, Weight: 1})
	}
	return answer, nil
}

func translate(name string, err error) error {
	var fault dns.Fault
	errors.As(err, &fault)
	switch fault.Tag() {
	case dns.FaultNoSuchName, dns.FaultNoData:
		return resolver.MakeFaultNotFound(name + " has no address")
	case dns.FaultDenied:
		// The text says what to add to the manifest.
		return err
	default:
		return resolver.MakeFaultUnavailable(name + ": " + err.Error())
	}
}

func main() {}
