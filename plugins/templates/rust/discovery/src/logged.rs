//! The exports of the component: they call the plugin after they have made its panics reach the gateway's log.

use crate::exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use crate::exports::umbel::discovery::transformer::{Context, Guest as Transformer, Head, Outcome};
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

impl<P: Transformer> Transformer for Logged<P> {
    fn transform(context: Context, group: String) -> Result<Outcome, String> {
        log_panics();
        P::transform(context, group)
    }

    fn order(context: Context, groups: Vec<Head>) -> Result<Option<Vec<String>>, String> {
        log_panics();
        P::order(context, groups)
    }
}
