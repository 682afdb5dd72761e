package state

// Error makes a fault an error.
func (f Fault) Error() string { return f.value.(string) }
