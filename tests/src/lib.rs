//! Test kit: starts Umbel, kubectl and real API servers, and waits for conditions.
