//! The host functions, counted.

use crate::plugin::component::bindings::offered::umbel::host::{dns, http, log, metrics, probe, state};
use crate::plugin::component::call_state::CallState;
use crate::plugin::telemetry::{HostFunction, HostResult};
use wasmtime::component::HasData;

/// A call's state that counts what the guest asks of it.
pub(in crate::plugin) struct Counted<'a>(pub &'a mut CallState);

/// Says so to the linker.
pub(in crate::plugin) struct HasCounted;

impl HasData for HasCounted {
    type Data<'a> = Counted<'a>;
}

impl Counted<'_> {
    fn note<T, F>(&self, function: HostFunction, answer: &Result<T, F>, sort: impl FnOnce(&F) -> HostResult) {
        let Some(tally) = &self.0.tally else { return };
        let result = answer.as_ref().err().map_or(HostResult::Answered, sort);
        tally.count_host_call(function, result);
        tracing::debug!(function = function.word(), result = result.word(), "a plugin asked the host");
    }
}

impl log::Host for Counted<'_> {
    async fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        log::Host::write(self.0, level, message, fields).await?;
        self.note::<(), ()>(HostFunction::LogWrite, &Ok(()), |()| HostResult::Failed);
        Ok(())
    }
}

impl dns::Host for Counted<'_> {
    async fn addresses(
        &mut self,
        name: String,
        family: dns::Family,
    ) -> wasmtime::Result<Result<Vec<dns::Address>, dns::Fault>> {
        let answer = dns::Host::addresses(self.0, name, family).await?;
        self.note(HostFunction::DnsAddresses, &answer, dns_result);
        Ok(answer)
    }

    async fn services(&mut self, name: String) -> wasmtime::Result<Result<Vec<dns::Service>, dns::Fault>> {
        let answer = dns::Host::services(self.0, name).await?;
        self.note(HostFunction::DnsServices, &answer, dns_result);
        Ok(answer)
    }
}

fn dns_result(fault: &dns::Fault) -> HostResult {
    match fault {
        dns::Fault::NoSuchName | dns::Fault::NoData => HostResult::Answered,
        dns::Fault::Denied(_) => HostResult::Denied,
        dns::Fault::TimedOut => HostResult::TimedOut,
        dns::Fault::Failed(_) => HostResult::Failed,
    }
}

impl http::Host for Counted<'_> {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::Fault>> {
        let answer = http::Host::send(self.0, request).await?;
        self.note(HostFunction::HttpSend, &answer, |fault| match fault {
            http::Fault::Denied(_) | http::Fault::Budget => HostResult::Denied,
            http::Fault::TimedOut(_) => HostResult::TimedOut,
            _ => HostResult::Failed,
        });
        Ok(answer)
    }
}

impl probe::Host for Counted<'_> {
    async fn send(
        &mut self,
        request: probe::Request,
    ) -> wasmtime::Result<Result<probe::Response, probe::Fault>> {
        let answer = probe::Host::send(self.0, request).await?;
        self.note(HostFunction::ProbeSend, &answer, |fault| match fault {
            probe::Fault::Denied(_) | probe::Fault::Budget => HostResult::Denied,
            probe::Fault::TimedOut(_) => HostResult::TimedOut,
            _ => HostResult::Failed,
        });
        Ok(answer)
    }
}

impl state::Host for Counted<'_> {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, state::Fault>> {
        let answer = state::Host::get(self.0, key).await?;
        self.note(HostFunction::StateGet, &answer, state_result);
        Ok(answer)
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<(), state::Fault>> {
        let answer = state::Host::put(self.0, key, value, ttl_ms).await?;
        self.note(HostFunction::StatePut, &answer, state_result);
        Ok(answer)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), state::Fault>> {
        let answer = state::Host::delete(self.0, key).await?;
        self.note(HostFunction::StateDelete, &answer, state_result);
        Ok(answer)
    }
}

fn state_result(fault: &state::Fault) -> HostResult {
    match fault {
        state::Fault::Denied(_) => HostResult::Denied,
        _ => HostResult::Failed,
    }
}

impl metrics::Host for Counted<'_> {
    async fn count(&mut self, name: String, by: u32) -> wasmtime::Result<Result<(), metrics::Fault>> {
        let answer = metrics::Host::count(self.0, name, by).await?;
        self.note(HostFunction::MetricsCount, &answer, metrics_result);
        Ok(answer)
    }

    async fn gauge(&mut self, name: String, value: f64) -> wasmtime::Result<Result<(), metrics::Fault>> {
        let answer = metrics::Host::gauge(self.0, name, value).await?;
        self.note(HostFunction::MetricsGauge, &answer, metrics_result);
        Ok(answer)
    }

    async fn observe(&mut self, name: String, value: f64) -> wasmtime::Result<Result<(), metrics::Fault>> {
        let answer = metrics::Host::observe(self.0, name, value).await?;
        self.note(HostFunction::MetricsObserve, &answer, metrics_result);
        Ok(answer)
    }
}

fn metrics_result(fault: &metrics::Fault) -> HostResult {
    match fault {
        metrics::Fault::Denied(_) => HostResult::Denied,
        _ => HostResult::Failed,
    }
}
