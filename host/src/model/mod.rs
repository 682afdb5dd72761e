//! The vocabulary of the whole program: no input, no output, no clock.

pub mod annotations;
pub mod byte_budget;
pub mod failure;
pub mod failure_policy;
pub mod group_version;
pub mod identity;
pub mod message_head;
pub mod object;
pub mod request_info;
pub mod schema;
pub mod spelling;
pub mod yaml;
