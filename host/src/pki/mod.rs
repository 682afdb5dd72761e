//! Umbel's certificates, kubeconfigs, and what a backend is started with.
//!
//! ```text
//! <data-dir>/pki/ca.crt .key                 signs serving.crt and the certificates of backends
//!                client-ca.crt .key          signs admin.crt and backend-client.crt
//!                front-proxy-ca.crt .key     signs front-proxy-client.crt, shown to backends
//! <data-dir>/admin.kubeconfig                for people
//! <data-dir>/backend/                        for backends
//! ```
//!
//! The folder is made once, whole, by a rename; afterwards only leaf certificates are replaced: when they come
//! close to expiry, or when the names of the serving certificate change. Keys never change.

mod authority;
mod backend;
mod credentials;
mod disk;
mod error;
mod folder;
mod inspect;
mod kit;
mod kubeconfig;
mod leaf;
mod names;

pub use backend::{BackendFiles, BackendRequest, prepare_backend};
pub use credentials::{Credentials, Identity};
pub use error::PkiError;
pub use folder::{Request, ensure, refuse_foreign_directory};
pub use kubeconfig::server as server_of_kubeconfig;
pub use names::host_name;
