//! Name resolution for plugins.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The process's resolver for plugins.
pub(in crate::plugin) struct Dns(Result<TokioResolver, String>);

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dns").field(&self.0.as_ref().map(|_| "resolver")).finish()
    }
}

/// Why a lookup has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum DnsFault {
    NoSuchName,
    NoData,
    TimedOut,
    Failed(String),
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct ServiceRecord {
    pub target: String,
    pub port: u16,
    pub priority: u16,
    pub weight: u16,
    pub ttl: Duration,
}

impl Dns {
    /// Asks `servers`, or those of `/etc/resolv.conf` when there are none.
    pub(in crate::plugin) fn new(servers: &[SocketAddr]) -> Self {
        Self(build(servers).map_err(|error| error.to_string()))
    }

    /// Addresses of `name` with the time for which each is good.
    pub(in crate::plugin) async fn addresses(
        &self,
        name: &str,
        kinds: &[RecordType],
        limit: Duration,
    ) -> Result<Vec<(IpAddr, Duration)>, DnsFault> {
        let mut found = Vec::new();
        let mut fault = DnsFault::NoData;
        for kind in kinds {
            match self.lookup(name, *kind, limit).await {
                Ok(lookup) => found.extend(records(&lookup).filter_map(|(data, ttl)| match data {
                    RData::A(a) => Some((IpAddr::V4(a.0), ttl)),
                    RData::AAAA(aaaa) => Some((IpAddr::V6(aaaa.0), ttl)),
                    _ => None,
                })),
                Err(DnsFault::NoData) => {}
                Err(other) => fault = other,
            }
        }
        if found.is_empty() { Err(fault) } else { Ok(found) }
    }

    /// SRV records of `name`.
    pub(in crate::plugin) async fn services(
        &self,
        name: &str,
        limit: Duration,
    ) -> Result<Vec<ServiceRecord>, DnsFault> {
        let lookup = self.lookup(name, RecordType::SRV, limit).await?;
        let found: Vec<_> = records(&lookup)
            .filter_map(|(data, ttl)| match data {
                RData::SRV(srv) => Some(ServiceRecord {
                    target: srv.target.to_utf8().trim_end_matches('.').to_owned(),
                    port: srv.port,
                    priority: srv.priority,
                    weight: srv.weight,
                    ttl,
                }),
                _ => None,
            })
            .collect();
        if found.is_empty() { Err(DnsFault::NoData) } else { Ok(found) }
    }

    async fn lookup(&self, name: &str, kind: RecordType, limit: Duration) -> Result<Lookup, DnsFault> {
        let resolver = self.0.as_ref().map_err(|cause| DnsFault::Failed(cause.clone()))?;
        match tokio::time::timeout(limit, resolver.lookup(name, kind)).await {
            Ok(Ok(lookup)) => Ok(lookup),
            Ok(Err(error)) => Err(sort(&error)),
            Err(_) => Err(DnsFault::TimedOut),
        }
    }
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    if servers.is_empty() {
        return TokioResolver::builder_tokio()?.build();
    }
    let servers = servers.iter().map(|server| {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = server.port();
        }
        NameServerConfig::new(server.ip(), true, connections)
    });
    let config = ResolverConfig::from_name_servers(servers.collect());
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build()
}

/// Answers with the time that is left of them: the cache keeps the TTL that the server gave.
fn records(lookup: &Lookup) -> impl Iterator<Item = (&RData, Duration)> {
    let left = lookup.valid_until().saturating_duration_since(Instant::now());
    lookup
        .answers()
        .iter()
        .map(move |record| (&record.data, left.min(Duration::from_secs(u64::from(record.ttl)))))
}

fn sort(error: &NetError) -> DnsFault {
    if error.is_nx_domain() {
        DnsFault::NoSuchName
    } else if error.is_no_records_found() {
        DnsFault::NoData
    } else if matches!(error, NetError::Timeout) {
        DnsFault::TimedOut
    } else {
        DnsFault::Failed(error.to_string())
    }
}
