//! The exports of the component: they call the plugin after they have made its panics reach the gateway's log.

use crate::exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use crate::exports::umbel::health::checker::{Context, Fault, Guest as Checker, Subject, Verdict};
use crate::log_output::log_panics;
use std::marker::PhantomData;

/// A plugin whose panics are logged.
pub struct Logged<P>(PhantomData<P>);

impl<P: Lifecycle> Lifecycle for Logged<P> {
    fn describe() -> Description {
        log_panics();
        P::describe()
    }

    fn validate(settings: String) -> Result<(), Vec<Problem>> {
        log_panics();
        P::validate(settings)
    }
}

impl<P: Checker> Checker for Logged<P> {
    fn check(context: Context, subject: Subject) -> Result<Verdict, Fault> {
        log_panics();
        P::check(context, subject)
    }
}
