module umbel.dev/plugin

go 1.25
