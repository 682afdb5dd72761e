//! Makes native code of components.

use crate::plugin::component::fault::LoadFault;
use crate::plugin::component::load::compile;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Where native code comes from.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Foundry {
    engine: Engine,
}

impl Foundry {
    pub(in crate::plugin) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Compiles a component.
    ///
    /// # Errors
    /// With the reason code of what is wrong with it, or with compiling.
    pub(in crate::plugin) fn make(&self, component: &[u8]) -> Result<Component, LoadFault> {
        compile(&self.engine, component)
    }
}
