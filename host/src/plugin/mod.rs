//! The only folder that names wasmtime: loads components and adapts them to decisions.
