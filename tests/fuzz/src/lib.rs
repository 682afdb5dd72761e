//! What a component may answer, as bytes of its memory.
//!
//! A fuzzer's input becomes an [`image::Case`]: an answer that is mostly well formed, and damage to it. A component
//! ([`parrot`]) answers with exactly that memory, through the engine and the judgement of a gateway.

pub mod image;
pub mod oracle;
pub mod parrot;
