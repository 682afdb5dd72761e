package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"umbel.dev/plugin/dns"
	"umbel.dev/plugin/resolver"
	"umbel.dev/plugin/wit"
)

const (
	// Annotation on the ExternalName that names the SRV record and wins over the settings.
	nameAnnotation = "resolver-srv.umbel.dev/name"
	// Lookups that the host grants to one call; one is spent on the records themselves.
	addressLookups = 15
)

func resolve(context resolver.Context, target resolver.Target) (resolver.Resolution, error) {
	none := resolver.Resolution{}
	o, err := parse(context.Settings)
	if err != nil {
		return none, err
	}
	name, ok := recordName(o, target)
	if !ok {
		return none, resolver.MakeFaultNotMine()
	}
	records, err := dns.Services(name).Get()
	if err != nil {
		return none, translate(name, err)
	}
	records = slices.DeleteFunc(records, func(r dns.Service) bool { return r.Target == "" || r.Target == "." })
	if len(records) == 0 {
		return none, resolver.MakeFaultUnavailable(
			fmt.Sprintf("SRV %s: the service is decidedly not available (target \".\")", name))
	}
	slices.SortStableFunc(records, func(a, b dns.Service) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight))
	})
	endpoints, freshMs, err := endpoints(o, records)
	if err != nil {
		return none, err
	}
	return resolver.Resolution{
		Endpoints: endpoints,
		FreshMs:   wit.Some(freshMs),
		StaleMs:   wit.Some(milliseconds(o.StaleSeconds)),
	}, nil
}

func endpoints(o options, records []dns.Service) ([]resolver.Endpoint, uint32, error) {
	var found []resolver.Endpoint
	var absent error
	freshMs := milliseconds(o.FreshSecondsMax)
	for index, record := range records {
		freshMs = min(freshMs, record.TtlMs)
		add := func(host string) {
			found = append(found, resolver.Endpoint{
				Host: host, Port: record.Port, Priority: record.Priority, Weight: share(record, records),
			})
		}
		if !o.LookupAddresses || index >= addressLookups {
			add(record.Target)
			continue
		}
		addresses, err := dns.Addresses(record.Target, dns.FamilyAny).Get()
		if isAbsent(err) {
			// One target without an address must not take the others with it.
			absent = translate(record.Target, err)
			continue
		}
		if err != nil {
			// Half an answer would replace a whole one that the host still has.
			return nil, 0, translate(record.Target, err)
		}
		for _, address := range addresses {
			freshMs = min(freshMs, address.TtlMs)
			add(address.Ip)
		}
	}
	if len(found) == 0 && absent != nil {
		return nil, 0, absent
	}
	return found, freshMs, nil
}

// RFC 2782 gives a weight of 0 a very small chance beside others; to the host 0 means none at all.
func share(record dns.Service, records []dns.Service) uint16 {
	weighted := slices.ContainsFunc(records, func(other dns.Service) bool {
		return other.Priority == record.Priority && other.Weight > 0
	})
	if weighted {
		return max(record.Weight, 1)
	}
	return 1
}

func recordName(o options, target resolver.Target) (string, bool) {
	for _, annotation := range target.Annotations {
		if annotation.F0 == nameAnnotation {
			return annotation.F1, true
		}
	}
	host, known := target.ExternalName.Get()
	if !known && strings.Contains(o.Name, "{host}") {
		return "", false
	}
	return strings.NewReplacer("{host}", host, "{namespace}", target.Namespace, "{name}", target.Name).Replace(o.Name), true
}

func isAbsent(err error) bool {
	var fault dns.Fault
	return errors.As(err, &fault) && (fault.Tag() == dns.FaultNoSuchName || fault.Tag() == dns.FaultNoData)
}

func translate(name string, err error) resolver.Fault {
	text := name + ": " + err.Error()
	var fault dns.Fault
	switch {
	case isAbsent(err):
		return resolver.MakeFaultNotFound(text)
	case errors.As(err, &fault) && fault.Tag() == dns.FaultDenied:
		return resolver.MakeFaultOther(text)
	default:
		return resolver.MakeFaultUnavailable(text)
	}
}

func milliseconds(seconds uint32) uint32 {
	return uint32(min(uint64(seconds)*1000, math.MaxUint32))
}
