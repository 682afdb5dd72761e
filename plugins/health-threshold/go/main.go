// Needs several failures in a row before False and several successes before True.
package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"

	"umbel.dev/plugin/checker"
	"umbel.dev/plugin/lifecycle"
	"umbel.dev/plugin/probe"
	"umbel.dev/plugin/wit"
	_ "umbel.dev/plugin/worlds/health"
)

//go:embed settings.schema.json
var schema string

func init() {
	lifecycle.Export(lifecycle.Description{
		Name:           "health-threshold",
		Version:        "0.1.0",
		Summary:        "needs several failures in a row before False and several successes before True",
		SettingsSchema: wit.Some(schema),
	}, validate)
	checker.Export(check)
}

func validate(text string) []lifecycle.Problem {
	if _, err := parse(text); err != nil {
		return []lifecycle.Problem{{Message: err.Error()}}
	}
	return nil
}

func check(context checker.Context, subject checker.Subject) (checker.Verdict, error) {
	o, err := parse(context.Settings)
	if err != nil {
		return checker.Verdict{}, err
	}
	success, findings := observe(o, subject)
	failures, successes := count(context.Memory, success)
	available := context.Was == checker.StateUp || context.Was == checker.StateDegraded
	verdict := checker.Verdict{Findings: findings, Memory: remember(failures, successes)}
	switch {
	case success && (available || successes >= o.Successes):
		verdict.State, verdict.Reason, verdict.Message = checker.StateUp, "Passed", "all checks passed"
	case success:
		verdict.State, verdict.Reason = context.Was, "AwaitingSuccesses"
		verdict.Message = fmt.Sprintf("%d of %d successes in a row", successes, o.Successes)
		verdict.NextMs = wit.Some(o.RetryMs)
	case failures >= o.Failures || context.Was == checker.StateDown:
		verdict.State, verdict.Reason = checker.StateDown, "FailedHealthCheck"
		verdict.Message = fmt.Sprintf("%d failures in a row", failures)
	default:
		verdict.State, verdict.Reason = context.Was, "AwaitingFailures"
		if available {
			verdict.State = checker.StateDegraded
		}
		verdict.Message = fmt.Sprintf("%d of %d failures in a row", failures, o.Failures)
		verdict.NextMs = wit.Some(o.RetryMs)
	}
	return verdict, nil
}

// Each call runs in a fresh instance, so the count travels with the verdict.
func count(memory []byte, success bool) (failures, successes uint32) {
	if len(memory) == 8 {
		failures, successes = binary.LittleEndian.Uint32(memory), binary.LittleEndian.Uint32(memory[4:])
	}
	if success {
		return 0, uint32(min(uint64(successes)+1, math.MaxUint32))
	}
	return uint32(min(uint64(failures)+1, math.MaxUint32)), 0
}

func remember(failures, successes uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, failures), successes)
}

// Asks every endpoint as far as the settings need it, and says what each bad one did.
func observe(o options, subject checker.Subject) (bool, []checker.Finding) {
	var findings []checker.Finding
	for index := range subject.Endpoints {
		endpoint := uint32(index)
		err := ask(o, endpoint)
		if err == nil && o.Need == "one" {
			// What another endpoint did does not belong to the message of a success.
			return true, nil
		}
		if err != nil {
			findings = append(findings, checker.Finding{Endpoint: endpoint, State: checker.StateDown, Message: err.Error()})
			if o.Need == "all" {
				break
			}
		}
	}
	return o.Need == "all" && len(subject.Endpoints) > 0 && len(findings) == 0, findings
}

func ask(o options, endpoint uint32) error {
	answer, err := probe.Send(probe.Request{
		Endpoint:  endpoint,
		Method:    o.Method,
		Path:      o.Path,
		TimeoutMs: wit.Some(o.TimeoutMs),
		BodyMax:   wit.Some(uint32(0)),
	}).Get()
	if err != nil {
		return err
	}
	if answer.Status < o.Status[0] || answer.Status > o.Status[1] {
		return fmt.Errorf("%s %s answered %d", o.Method, o.Path, answer.Status)
	}
	return nil
}

func main() {}
