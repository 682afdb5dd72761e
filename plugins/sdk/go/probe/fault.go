package probe

// Error makes a fault an error.
func (f Fault) Error() string {
	if text, ok := f.value.(string); ok {
		return text
	}
	return "more probes than a call may send"
}
