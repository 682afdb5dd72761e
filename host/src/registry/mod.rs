//! Objects with Kubernetes semantics over the store.
