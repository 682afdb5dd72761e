module discovery-filter

go 1.25

require umbel.dev/plugin v0.0.0

replace umbel.dev/plugin => ../../sdk/go
