//! A new component answers what was really asked before it serves.

use super::{Plugins, drop_guest, target, write_manifest};
use anyhow::{Context, Result};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use umbel::decision::plugins::Plugins as _;
use umbel::plugin::{Reason, State, Status};
use umbel_tests::{DnsServer, Guest, Record};

const SECRET: &str = "hunter2-and-more";
const COOKIE: &str = "session=crumb";

/// An HTTP server that counts its connections. `/echo` answers with the header that carries the secret.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, connections) = (listener.local_addr()?, Arc::<AtomicUsize>::default());
        let count = Arc::clone(&connections);
        // Ends with the process: nobody connects after the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                answer(stream).ok();
            }
        });
        Ok(Self { address, connections })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A manifest of `resolver-http` that asks here.
    fn spec(&self, path: &str, secret: &Path, more: &str) -> String {
        let (address, secret) = (self.address, secret.display());
        format!(
            "{{settings: {{url: 'http://{address}{path}'{more}}}, secrets: {{token: {{file: {secret}}}}}, \
             grants: {{http: ['http://{address}/'], addresses: [127.0.0.0/8]}}}}"
        )
    }
}

fn answer(mut stream: std::net::TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let body = match head.starts_with("get /echo ") {
        true => head.lines().find(|line| line.starts_with("authorization:")).unwrap_or_default(),
        false => "10.0.0.1",
    };
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nset-cookie: {COOKIE}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())
}

async fn with_server(server: &Server, secret: &Path, path: &str) -> Result<Plugins> {
    fs::write(secret, SECRET)?;
    Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", &server.spec(path, secret, ""))?;
        drop_guest(dir, Guest::ResolverHttp, "p")
    })
    .await
}

/// Replaces the component by the same code with a note at its end: another digest.
fn drop_noted(dir: &Path, guest: Guest, name: &str) -> Result<()> {
    let component = guest.component().map_err(|missing| anyhow::anyhow!("{missing}"))?;
    let bytes = [fs::read(component)?.as_slice(), &[0, 3, 1, b'n', 2]].concat();
    let hidden = dir.join(format!(".{name}.wasm"));
    fs::write(&hidden, bytes)?;
    Ok(fs::rename(hidden, dir.join(format!("{name}.wasm")))?)
}

fn rejected(reason: Reason) -> impl Fn(&Status) -> bool {
    move |status| status.state == State::Rejected && status.reason == Some(reason)
}

#[tokio::test]
async fn a_component_that_traps_only_at_real_calls_never_serves() -> Result<()> {
    let (server, secret) = (Server::start()?, tempfile::NamedTempFile::new()?);
    let plugins = with_server(&server, secret.path(), "/").await?;
    let resolver = plugins.resolver("p");
    assert_eq!(resolver.resolve(&target(None)).await?.endpoints[0].host, "10.0.0.1");
    // It describes itself and takes its settings, and fails at what the server really says.
    let trapping = server.spec("/", secret.path(), ", trapOn: '10.0'");
    write_manifest(plugins.dir.path(), "p", &trapping)?;
    let status = plugins.wait_status("p", "refused", rejected(Reason::RehearsalTrap)).await?;
    assert_eq!((status.generation, status.faults), (1, 0), "{status:?}");
    assert!(status.message.contains("asked again what generation 1 answered, it trapped"), "{status:?}");
    assert!(status.message.contains("resolve prod/shop"), "{status:?}");
    assert_eq!(resolver.resolve(&target(None)).await?.endpoints[0].host, "10.0.0.1");
    // Without a rehearsal it comes into service.
    write_manifest(plugins.dir.path(), "p", &trapping.replace("{settings", "{rehearsal: off, settings"))?;
    let off = plugins.wait_generation("p", 2).await?.rehearsal.context("no rehearsal")?;
    assert_eq!(off.note.as_deref(), Some("spec.rehearsal of the manifest is off"));
    Ok(())
}

#[tokio::test]
async fn a_component_that_computes_for_ever_at_a_real_call_never_serves() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", "{settings: {host: 10.0.0.1}}")?;
        drop_guest(dir, Guest::Misbehaving, "p")
    })
    .await?;
    plugins.resolver("p").resolve(&target(None)).await?;
    write_manifest(plugins.dir.path(), "p", "{settings: {do: loop}}")?;
    let status = plugins.wait_status("p", "refused", rejected(Reason::RehearsalTimeout)).await?;
    assert_eq!((status.generation, status.faults), (1, 0), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn differences_are_told_and_refused_only_where_the_manifest_is_strict() -> Result<()> {
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "p", "{settings: {host: 10.0.0.1}}")?;
        drop_guest(dir, Guest::Misbehaving, "p")
    })
    .await?;
    let first = plugins.status("p")?.rehearsal.context("no rehearsal")?;
    assert_eq!(first.note.as_deref(), Some("nothing served before"));
    let resolver = plugins.resolver("p");
    resolver.resolve(&target(None)).await?;
    write_manifest(plugins.dir.path(), "p", "{settings: {host: 10.0.0.2}, rehearsal: strict}")?;
    let strict = plugins.wait_status("p", "refused", rejected(Reason::RehearsalDifferent)).await?;
    let wanted = r#"resolve prod/shop: endpoints[0].host was "10.0.0.1" and would be "10.0.0.2""#;
    assert!(strict.message.ends_with(wanted), "{strict:?}");
    assert_eq!(resolver.resolve(&target(None)).await?.endpoints[0].host, "10.0.0.1");
    write_manifest(plugins.dir.path(), "p", "{settings: {host: 10.0.0.3}}")?;
    let told = plugins.wait_generation("p", 2).await?.rehearsal.context("no rehearsal")?;
    assert_eq!((told.compared, told.different, told.not_comparable), (1, 1, 0));
    let wanted = r#"resolve prod/shop: endpoints[0].host was "10.0.0.1" and would be "10.0.0.3""#;
    assert_eq!(told.first_difference.as_deref(), Some(wanted));
    assert_eq!(resolver.resolve(&target(None)).await?.endpoints[0].host, "10.0.0.3");
    Ok(())
}

#[tokio::test]
async fn a_rehearsal_reaches_nothing_outside() -> Result<()> {
    let (server, secret) = (Server::start()?, tempfile::NamedTempFile::new()?);
    let plugins = with_server(&server, secret.path(), "/").await?;
    plugins.resolver("p").resolve(&target(None)).await?;
    let zone = vec![
        ("_https._tcp.shop.test", Record::Srv(10, 1, 8443, "one.shop.test")),
        ("one.shop.test", Record::A(Ipv4Addr::new(10, 0, 0, 1))),
    ];
    let dns = DnsServer::start(zone, 30)?;
    let by_dns = Plugins::start_loaded(vec![dns.address], |dir| {
        write_manifest(dir, "p", "{grants: {dns: ['*.test']}}")?;
        drop_guest(dir, Guest::ResolverSrv, "p")
    })
    .await?;
    by_dns.resolver("p").resolve(&target(Some("shop.test"))).await?;
    let before = (server.connections(), dns.asked());
    assert!(before.0 == 1 && before.1 >= 2, "{before:?}");
    drop_noted(plugins.dir.path(), Guest::ResolverHttp, "p")?;
    drop_noted(by_dns.dir.path(), Guest::ResolverSrv, "p")?;
    for plugins in [&plugins, &by_dns] {
        let told = plugins.wait_generation("p", 2).await?.rehearsal.context("no rehearsal")?;
        assert_eq!((told.compared, told.different, told.not_comparable), (1, 0, 0), "{told:?}");
    }
    // Another URL has no answer in the record, and nobody asks it for one.
    write_manifest(plugins.dir.path(), "p", &server.spec("/other", secret.path(), ""))?;
    let told = plugins.wait_generation("p", 3).await?.rehearsal.context("no rehearsal")?;
    assert_eq!((told.compared, told.not_comparable), (0, 1), "{told:?}");
    assert_eq!((server.connections(), dns.asked()), before);
    Ok(())
}

#[tokio::test]
async fn no_secret_is_in_a_record() -> Result<()> {
    for path in ["/", "/echo"] {
        let (server, secret) = (Server::start()?, tempfile::NamedTempFile::new()?);
        let plugins = with_server(&server, secret.path(), path).await?;
        plugins.resolver("p").resolve(&target(Some("own.test"))).await.ok();
        let calls = plugins.host.calls("p").context("no calls")?;
        if path == "/" {
            assert_eq!(calls["items"][0]["question"]["target"]["name"], "shop", "{calls}");
            assert_eq!(calls["items"][0]["secrets"], serde_json::json!(["token"]));
        } else {
            assert_eq!(calls["leftOut"]["secretRepeated"], 1, "{calls}");
        }
        let text = calls.to_string();
        let hidden = [SECRET, COOKIE, "Bearer", "bearer", "x-service", &secret.path().display().to_string()];
        assert!(hidden.iter().all(|hidden| !text.contains(hidden)), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn what_no_record_knows_makes_no_difference() -> Result<()> {
    let state = |key: &str| {
        format!(
            "{{settings: {{ask: state-get, with: {key}}}, grants: {{state: {{bytes: 1KiB}}}}, limits: {{wall: 30s}}}}"
        )
    };
    let plugins = Plugins::start_loaded(vec![], |dir| {
        write_manifest(dir, "asking", &state("a"))?;
        drop_guest(dir, Guest::Asking, "asking")?;
        write_manifest(dir, "draws", "{wasi: std, settings: {do: draw}, limits: {wall: 30s, cpu: 5s}}")?;
        drop_guest(dir, Guest::Standard, "draws")
    })
    .await?;
    let dir = plugins.dir.path();
    let rehearsed = async |name: &str, generation: u64| {
        let told = plugins.wait_generation(name, generation).await?.rehearsal.context("no rehearsal")?;
        anyhow::Ok((told.compared, told.different, told.not_comparable))
    };
    // Both answer that they cannot tell, each in its words.
    plugins.resolver("asking").resolve(&target(None)).await.unwrap_err();
    plugins.resolver("draws").resolve(&target(None)).await.unwrap_err();
    drop_noted(dir, Guest::Asking, "asking")?;
    assert_eq!(rehearsed("asking", 2).await?, (1, 0, 0), "a key that was empty is known");
    plugins.resolver("asking").resolve(&target(None)).await.unwrap_err();
    write_manifest(dir, "asking", &state("b"))?;
    assert_eq!(rehearsed("asking", 3).await?, (0, 0, 1), "nobody knows what another key held");
    drop_noted(dir, Guest::Standard, "draws")?;
    assert_eq!(rehearsed("draws", 2).await?, (0, 0, 1), "another random number is no difference");
    Ok(())
}
