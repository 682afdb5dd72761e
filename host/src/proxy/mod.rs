//! The request path: authenticate, authorise, route, forward.
