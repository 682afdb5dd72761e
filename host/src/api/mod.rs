//! HTTP surface of the own kinds, health, version and metrics.
