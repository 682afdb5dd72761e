//! The control plane: reconciles the store into the routing snapshot.
