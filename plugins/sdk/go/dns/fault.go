package dns

// Error makes a fault an error.
func (f Fault) Error() string {
	if text, ok := f.value.(string); ok {
		return text
	}
	switch f.tag {
	case FaultNoSuchName:
		return "no such name"
	case FaultNoData:
		return "no records"
	default:
		return "timed out"
	}
}
