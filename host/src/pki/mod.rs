//! The certificates and kubeconfigs that the data directory keeps.
