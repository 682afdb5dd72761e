package http

// Error makes a fault an error.
func (f Fault) Error() string {
	if text, ok := f.value.(string); ok {
		return text
	}
	return "more requests than a call may send"
}
