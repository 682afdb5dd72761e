//! Sockets in: accept loop, TLS, client certificates.
