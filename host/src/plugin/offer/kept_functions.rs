//! `umbel:host/state` and `umbel:host/metrics`: what outlives a call.

use crate::plugin::component::bindings::offered::umbel::host::{metrics, state};
use crate::plugin::component::call_state::CallState;
use crate::plugin::offer::declared_metrics::find_metric;
use crate::plugin::offer::state::{PluginState, StateFault};
use crate::plugin::offer::user_metrics::Reading;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl CallState {
    /// What the plugin remembers, and how many bytes that may be. The one place that leads to it, in a recorded
    /// world as in the real one.
    fn granted_state(&self) -> Result<(Arc<PluginState>, usize), state::Fault> {
        let Some(grant) = &self.profile.manifest.spec.grants.state else {
            let text = "state is not granted; add state: {bytes: 1MiB} to spec.grants of the manifest";
            return Err(state::Fault::Denied(text.to_owned()));
        };
        let kept = match &self.script {
            Some(script) => script.lock().open_state(),
            None => self.profile.state(&self.outside.states),
        };
        Ok((kept, grant.bytes()))
    }

    fn note_reading(&self, name: &str, reading: Reading) -> Result<(), metrics::Fault> {
        let declared = &self.profile.manifest.spec.metrics;
        let metric = find_metric(declared, name, reading.kind()).map_err(metrics::Fault::Denied)?;
        if self.script.is_some() {
            return Ok(());
        }
        let noted = self.outside.metrics.note(&self.profile.name, metric, declared, reading);
        noted.map_err(metrics::Fault::Other)
    }
}

impl state::Host for CallState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, state::Fault>> {
        let found = self.granted_state().map(|(kept, _)| kept.get(&key, Instant::now()));
        if let Ok(value) = &found {
            self.noted(|witness| witness.state_read(&key, value.as_deref()));
            self.scripted(|script| script.state_read(&key));
        }
        Ok(found)
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<(), state::Fault>> {
        let (kept, bytes_max) = match self.granted_state() {
            Ok(granted) => granted,
            Err(fault) => return Ok(Err(fault)),
        };
        let ttl = ttl_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        let put = kept.put((key.clone(), value), ttl, bytes_max, Instant::now());
        let fitted = !matches!(put, Err(StateFault::Full(_)));
        self.noted(|witness| witness.state_written(&key, fitted));
        self.scripted(|script| script.state_written(&key));
        Ok(put.map_err(|fault| match fault {
            StateFault::TooLarge(text) => state::Fault::TooLarge(text),
            StateFault::Full(text) => state::Fault::Full(text),
        }))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), state::Fault>> {
        let deleted = self.granted_state().map(|(kept, _)| kept.delete(&key));
        if deleted.is_ok() {
            self.noted(|witness| witness.state_written(&key, true));
            self.scripted(|script| script.state_written(&key));
        }
        Ok(deleted)
    }
}

impl metrics::Host for CallState {
    async fn count(&mut self, name: String, by: u32) -> wasmtime::Result<Result<(), metrics::Fault>> {
        Ok(self.note_reading(&name, Reading::Count(by)))
    }

    async fn gauge(&mut self, name: String, value: f64) -> wasmtime::Result<Result<(), metrics::Fault>> {
        Ok(self.note_reading(&name, Reading::Set(value)))
    }

    async fn observe(&mut self, name: String, value: f64) -> wasmtime::Result<Result<(), metrics::Fault>> {
        Ok(self.note_reading(&name, Reading::Observe(value)))
    }
}
