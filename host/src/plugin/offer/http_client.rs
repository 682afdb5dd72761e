//! HTTP for plugins: only where the manifest allows it, pinned to an address that the policy allows.

use crate::model::message_head::TransferCoding;
use crate::plugin::offer::address::{AddressPolicy, OwnListeners, Use, never_opened};
use crate::plugin::offer::dns::{Dns, DnsFault};
use crate::plugin::source::manifest::{Grants, Secret};
use bytes::{Bytes, BytesMut};
use hickory_resolver::proto::rr::RecordType;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::{Host, Url};

/// Bytes of body, each way.
pub(in crate::plugin) const BODY_MAX: usize = 256 << 10;

/// Bytes of a method.
const METHOD_MAX: usize = 32;
/// Bytes of a URL.
const URL_MAX: usize = 8 << 10;
/// Headers of a request, and bytes of all of them.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum HttpFault {
    /// The manifest does not allow it, or nobody may do it.
    Denied(String),
    /// No answer in time.
    TimedOut(String),
    /// No connection.
    Connect(String),
    /// No TLS session.
    Tls(String),
    /// No HTTP answer.
    Protocol(String),
}

/// What a plugin wants to send, checked in form only.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Outgoing {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Incoming {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub truncated: bool,
    /// Whether the secret that was sent stands in it.
    pub repeats_secret: bool,
}

impl Incoming {
    fn held_against(mut self, secret: Option<String>) -> Self {
        self.repeats_secret = secret.is_some_and(|secret| {
            self.headers.iter().any(|(_, value)| value.contains(&secret))
                || self.body.windows(secret.len()).any(|part| part == secret.as_bytes())
        });
        self
    }
}

/// The secret that a request carries, without what stands before it.
fn secret_of(request: &Request<Full<Bytes>>, secret: &Secret) -> Option<String> {
    let value = request.headers().get_all(&secret.header).into_iter().next_back()?.to_str().ok()?;
    let told = value.strip_prefix(&secret.prefix).unwrap_or(value);
    (!told.is_empty()).then(|| told.to_owned())
}

/// Sends requests of plugins. Keeps no connections: plugins ask rarely.
#[derive(Debug, Default)]
pub(in crate::plugin) struct HttpClient {
    system: OnceLock<Arc<rustls::ClientConfig>>,
}

impl HttpClient {
    /// Sends one request; the caller limits the time.
    pub(in crate::plugin) async fn send(
        &self,
        outgoing: Outgoing,
        secret: Option<&Secret>,
        grants: &Grants,
        (dns, own): (&Dns, &OwnListeners),
    ) -> Result<Incoming, HttpFault> {
        check_size(&outgoing)?;
        let url = granted(&outgoing.url, &grants.http)?;
        let request = build(&url, outgoing, secret).await?;
        let told = secret.and_then(|secret| secret_of(&request, secret));
        let socket = TcpStream::connect(pick_address(&url, policy(grants, own), dns).await?)
            .await
            .map_err(|error| HttpFault::Connect(error.to_string()))?;
        if url.scheme() == "http" {
            return exchange(socket, request).await.map(|answer| answer.held_against(told));
        }
        let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| HttpFault::Tls(error.to_string()))?;
        let tls = tokio_rustls::TlsConnector::from(self.tls(grants.ca_file.as_deref()).await?);
        let stream = tls.connect(name, socket).await.map_err(|error| HttpFault::Tls(error.to_string()))?;
        exchange(stream, request).await.map(|answer| answer.held_against(told))
    }

    async fn tls(&self, ca_file: Option<&Path>) -> Result<Arc<rustls::ClientConfig>, HttpFault> {
        let Some(path) = ca_file else {
            return match self.system.get() {
                Some(config) => Ok(Arc::clone(config)),
                None => {
                    let mut roots = RootCertStore::empty();
                    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                    let config = client_config(roots)?;
                    Ok(Arc::clone(self.system.get_or_init(|| config)))
                }
            };
        };
        let unusable =
            |cause: String| HttpFault::Tls(format!("spec.grants.caFile {}: {cause}", path.display()));
        let pem = tokio::fs::read(path).await.map_err(|error| unusable(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("holds no certificate".to_owned()));
        }
        client_config(roots)
    }
}

fn client_config(roots: RootCertStore) -> Result<Arc<rustls::ClientConfig>, HttpFault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpFault::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Judges a request as [`HttpClient::send`] does before it opens a connection; reads no secret.
///
/// # Errors
/// What the manifest or the form of requests forbids.
pub(in crate::plugin) async fn judge(
    outgoing: Outgoing,
    grants: &Grants,
    own: &OwnListeners,
) -> Result<(), HttpFault> {
    check_size(&outgoing)?;
    let url = granted(&outgoing.url, &grants.http)?;
    if let Some(literal) = literal(&url) {
        choose(&url, vec![literal], policy(grants, own))?;
    }
    build(&url, outgoing, None).await.map(drop)
}

fn policy<'a>(grants: &'a Grants, own: &'a OwnListeners) -> AddressPolicy<'a> {
    AddressPolicy { granted: &grants.addresses, own }
}

/// Refuses what no server needs, before it is copied any further.
fn check_size(outgoing: &Outgoing) -> Result<(), HttpFault> {
    let Outgoing { method, url, headers, body } = outgoing;
    let header_bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    for (what, size, max) in [
        ("a method with {} bytes", method.len(), METHOD_MAX),
        ("a URL with {} bytes", url.len(), URL_MAX),
        ("{} headers", headers.len(), HEADERS_MAX),
        ("headers with {} bytes", header_bytes, HEADER_BYTES_MAX),
        ("a body with {} bytes", body.len(), BODY_MAX),
    ] {
        if size > max {
            let what = what.replace("{}", &size.to_string());
            return Err(HttpFault::Denied(format!("{what}; {max} are the limit")));
        }
    }
    Ok(())
}

/// Whether a grant can match any request.
///
/// # Errors
/// Why it cannot, and a grant that can.
pub(in crate::plugin) fn check_grant(grant: &str) -> Result<(), String> {
    let Some((scheme, rest)) = grant.split_once("://") else {
        let place = grant.trim_start_matches('/');
        if place.is_empty() {
            return Err("is empty; write a URL such as https://consul.internal:8501/v1/".to_owned());
        }
        let place = if place.contains('/') { place.to_owned() } else { format!("{place}/") };
        return Err(format!("has no scheme; write \"http://{place}\" or \"https://{place}\""));
    };
    if grant.contains('*') {
        return Err(
            "holds a *, which stands for itself here, so no * may be in it; write each scheme, host and path"
                .to_owned(),
        );
    }
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(format!("has the scheme {scheme:?}; only http and https can be asked for"));
    }
    let url = Url::parse(grant).map_err(|error| format!("is not a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds a user; requests are covered without one, and spec.secrets carries what is secret"
                .to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds a query or a fragment; scheme, host, port and path are compared".to_owned());
    }
    if climbs(rest.split_once('/').map_or("", |(_, path)| path)) {
        return Err("has a path that leads up; write the path that it leads to".to_owned());
    }
    match literal(&url).map(never_opened) {
        Some(Some(refusal)) => Err(format!("leads to {refusal}, which is never opened; remove it")),
        _ => Ok(()),
    }
}

/// The URL, when a grant covers it.
fn granted(url: &str, grants: &[String]) -> Result<Url, HttpFault> {
    let parsed = Url::parse(url).map_err(|error| HttpFault::Denied(format!("{url:?} is no URL: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https")
        || !parsed.username().is_empty()
        || parsed.password().is_some()
    {
        return Err(HttpFault::Denied(format!("{url:?}: only http and https without user and password")));
    }
    if climbs(parsed.path()) {
        return Err(HttpFault::Denied(format!(
            "{url:?}: a server may read its path as one that leads up; no \"..\" may stand between separators, \
             however they are written"
        )));
    }
    let covers = |grant: &String| Url::parse(grant).is_ok_and(|grant| covers(&grant, &parsed));
    if grants.iter().any(covers) {
        return Ok(parsed);
    }
    let origin = parsed.origin().ascii_serialization();
    Err(HttpFault::Denied(format!(
        "{origin} is not granted; add {origin}/ to spec.grants.http of the manifest"
    )))
}

/// Whether a server that decodes more than the standard says could read a path as one that leads up and out of what is
/// granted.
fn climbs(path: &str) -> bool {
    let mut path = path.to_ascii_lowercase();
    while path.contains("%25") {
        path = path.replace("%25", "%");
    }
    let path = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("%3b", ";");
    path.split(['/', '\\']).any(|step| step.split(';').next() == Some(".."))
}

fn covers(grant: &Url, url: &Url) -> bool {
    let same_place = grant.scheme() == url.scheme()
        && grant.host() == url.host()
        && grant.port_or_known_default() == url.port_or_known_default();
    let (prefix, path) = (grant.path(), url.path());
    let below = path
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'));
    same_place && below
}

/// The address to connect to: resolved once and checked, so that the name cannot lead elsewhere afterwards.
async fn pick_address(url: &Url, policy: AddressPolicy<'_>, dns: &Dns) -> Result<SocketAddr, HttpFault> {
    let addresses = match (literal(url), url.host()) {
        (Some(literal), _) => vec![literal],
        (None, Some(Host::Domain(name))) => {
            let kinds = [RecordType::A, RecordType::AAAA];
            let found = dns.addresses(name, &kinds, std::time::Duration::from_secs(5)).await;
            found.map_err(|fault| lookup_fault(name, &fault))?.into_iter().map(|(ip, _)| ip).collect()
        }
        _ => return Err(HttpFault::Denied(format!("{url} names no host"))),
    };
    choose(url, addresses, policy)
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
        Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
        Host::Domain(_) => None,
    }
}

/// The first address that the policy allows.
pub(in crate::plugin) fn choose(
    url: &Url,
    addresses: Vec<IpAddr>,
    policy: AddressPolicy<'_>,
) -> Result<SocketAddr, HttpFault> {
    let port = url.port_or_known_default().unwrap_or(443);
    let mut refused = None;
    for ip in addresses {
        match policy.judge(ip, Some(port), Use::Http) {
            Ok(()) => return Ok(SocketAddr::new(ip, port)),
            Err(refusal) => refused = Some((ip, refusal)),
        }
    }
    let (ip, refusal) = refused.ok_or_else(|| HttpFault::Connect(format!("{url} has no address")))?;
    Err(HttpFault::Denied(format!("{ip} is {refusal}; {}", refusal.mend())))
}

fn lookup_fault(name: &str, fault: &DnsFault) -> HttpFault {
    HttpFault::Connect(match fault {
        DnsFault::NoSuchName => format!("lookup {name}: no such name"),
        DnsFault::NoData => format!("lookup {name}: no address"),
        DnsFault::TimedOut => format!("lookup {name}: timed out"),
        DnsFault::Failed(cause) => format!("lookup {name}: {cause}"),
    })
}

async fn build(
    url: &Url,
    outgoing: Outgoing,
    secret: Option<&Secret>,
) -> Result<Request<Full<Bytes>>, HttpFault> {
    let denied = |text: String| HttpFault::Denied(text);
    let method = Method::from_bytes(outgoing.method.as_bytes())
        .ok()
        .filter(|method| *method != Method::CONNECT)
        .ok_or_else(|| denied(format!("method {:?} may not be sent", outgoing.method)))?;
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut request = Request::new(Full::new(Bytes::from(outgoing.body)));
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().map_err(|_| denied(format!("{url} cannot be sent")))?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    insert(&mut request, "host", &host)?;
    for (name, value) in &outgoing.headers {
        if is_reserved(name) {
            return Err(denied(format!("header {name:?} may not be set by a plugin")));
        }
        insert(&mut request, name, value)?;
    }
    if let Some(secret) = secret {
        let text = tokio::fs::read_to_string(&secret.file)
            .await
            .map_err(|error| denied(format!("the file of the secret cannot be read: {error}")))?;
        insert(&mut request, &secret.header, &format!("{}{}", secret.prefix, text.trim_end()))?;
    }
    Ok(request)
}

fn insert(request: &mut Request<Full<Bytes>>, name: &str, value: &str) -> Result<(), HttpFault> {
    let refused = || HttpFault::Denied(format!("header {name:?} is no valid header"));
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
    let value = HeaderValue::from_str(value).map_err(|_| refused())?;
    request.headers_mut().append(name, value);
    Ok(())
}

/// Headers that belong to the host: framing, connection, and identity.
pub(in crate::plugin) fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "host",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
    ];
    // Many servers take one for the other.
    let name = name.to_ascii_lowercase().replace('_', "-");
    NAMES.contains(&name.as_str()) || name.starts_with("x-remote-") || name.starts_with("x-forwarded-")
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Incoming, HttpFault>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let protocol = |error: hyper::Error| HttpFault::Protocol(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(protocol)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(protocol)?;
        receive(response).await
    };
    // The connection is driven here and dropped with the answer: it outlives no call.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ = &mut connection => exchange.await,
    }
}

async fn receive(response: Response<hyper::body::Incoming>) -> Result<Incoming, HttpFault> {
    let (parts, mut body) = response.into_parts();
    if let TransferCoding::Unsupported(coding) = TransferCoding::of(&parts.headers) {
        let text = format!("the response has the transfer encoding {coding:?}; only chunked is supported");
        return Err(HttpFault::Protocol(text));
    }
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let (mut kept, mut truncated) = (BytesMut::new(), false);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| HttpFault::Protocol(error.to_string()))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = BODY_MAX - kept.len();
        kept.extend_from_slice(data.get(..room).unwrap_or(data));
        if data.len() > room {
            truncated = true;
            break;
        }
    }
    let (status, body) = (parts.status.as_u16(), kept.freeze());
    Ok(Incoming { status, headers, body, truncated, repeats_secret: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_needs_is_refused_before_it_is_copied() {
        let request = |method: usize, url: usize, headers: usize, value: usize, body: usize| Outgoing {
            method: "m".repeat(method),
            url: "u".repeat(url),
            headers: vec![("x".to_owned(), "v".repeat(value)); headers],
            body: vec![0; body],
        };
        check_size(&request(METHOD_MAX, URL_MAX, HEADERS_MAX, 200, BODY_MAX)).unwrap();
        for (outgoing, says) in [
            (request(METHOD_MAX + 1, 1, 0, 0, 0), "a method with 33 bytes; 32"),
            (request(1, URL_MAX + 1, 0, 0, 0), "a URL with 8193 bytes"),
            (request(1, 1, HEADERS_MAX + 1, 0, 0), "65 headers"),
            (request(1, 1, 1, HEADER_BYTES_MAX, 0), "headers with 16385 bytes"),
            (request(1, 1, 0, 0, BODY_MAX + 1), "a body with 262145 bytes"),
        ] {
            let HttpFault::Denied(text) = check_size(&outgoing).unwrap_err() else { panic!("{says}") };
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn a_grant_covers_its_origin_and_what_lies_below_its_path() {
        for (grant, url, wanted) in [
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/x?y=1", true),
            ("https://c.internal:8501/v1", "https://c.internal:8501/v1/x", true),
            ("https://c.internal:8501/v1", "https://c.internal:8501/v10", false),
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/../admin", false),
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/%2e%2e/admin", false),
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/..%2fadmin", false),
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/a/%2E%2E%2F%2e%2e%5Cadmin", false),
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/%252e%252e%252fadmin", false),
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/..;a=b/admin", false),
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/..%5cadmin", false),
            ("https://c.internal:8501/v1/", "https://c.internal:8501/v1/kv/a%2Fb..c/%20", true),
            ("https://c.internal:8501/", "http://c.internal:8501/", false),
            ("https://c.internal/", "https://c.internal:443/a", true),
            ("https://c.internal/", "https://c.internal.evil.test/", false),
            // A granted request may carry a secret, so the port must match.
            ("https://c.internal:8501/", "https://c.internal:8502/", false),
            ("https://c.internal:8501/", "https://c.internal/", false),
            ("https://c.internal/", "https://c.internal:8501/", false),
            ("http://10.0.0.1/", "http://10.0.0.1:8080/", false),
            ("http://10.0.0.1:80/", "http://10.0.0.1/", true),
            ("https://c.internal/", "https://d.internal/", false),
            ("https://c.internal/v1", "https://c.internal/", false),
        ] {
            assert_eq!(granted(url, &[grant.to_owned()]).is_ok(), wanted, "{grant} {url}");
        }
        assert!(granted("https://u:p@c.internal/", &["https://c.internal/".to_owned()]).is_err());
    }

    #[tokio::test]
    async fn methods_and_headers_of_the_host_are_not_for_plugins() {
        let grants = Grants { http: vec!["https://c.internal/".to_owned()], ..Grants::default() };
        let judged = async |method: &str, header: &str| {
            let headers = vec![(header.to_owned(), "v".to_owned())];
            let outgoing = Outgoing {
                method: method.to_owned(),
                url: "https://c.internal/".to_owned(),
                headers,
                body: Vec::new(),
            };
            judge(outgoing, &grants, &OwnListeners::default()).await
        };
        assert_eq!(judged("POST", "x-token").await, Ok(()));
        assert_eq!(judged("PURGE", "accept").await, Ok(()));
        for (method, header) in [
            ("CONNECT", "accept"),
            ("G ET", "accept"),
            ("", "accept"),
            ("GET", "Host"),
            ("GET", "content-length"),
            ("GET", "Transfer-Encoding"),
            ("GET", "connection"),
            ("GET", "Proxy-Authorization"),
            ("GET", "X-Remote-User"),
            ("GET", "x_remote_user"),
            ("GET", "X-Forwarded-For"),
            ("GET", "X_Forwarded-Host"),
            ("GET", "a b"),
        ] {
            let refused = judged(method, header).await;
            assert!(matches!(refused, Err(HttpFault::Denied(_))), "{method} {header}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn a_long_body_is_cut_and_marked() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        for (size, truncated) in [(BODY_MAX - 1, false), (BODY_MAX, false), (BODY_MAX + 1, true)] {
            let (ours, mut theirs) = tokio::io::duplex(1 << 20);
            let server = tokio::spawn(async move {
                assert!(theirs.read(&mut [0; 1024]).await.unwrap() > 0);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
                theirs.write_all(head.as_bytes()).await.unwrap();
                theirs.write_all(&vec![b'x'; size]).await.unwrap();
                theirs
            });
            let mut request = Request::new(Full::new(Bytes::new()));
            insert(&mut request, "host", "c.internal").unwrap();
            let answer = exchange(ours, request).await.unwrap();
            assert_eq!((answer.body.len(), answer.truncated), (size.min(BODY_MAX), truncated), "{size}");
            drop(server.await);
        }
    }

    #[test]
    fn an_answer_that_repeats_the_secret_is_marked() {
        let secret = Secret { file: "x".into(), header: "authorization".into(), prefix: "Bearer ".into() };
        let mut request = Request::new(Full::new(Bytes::new()));
        insert(&mut request, "Authorization", "Bearer hunter2").unwrap();
        let told = secret_of(&request, &secret);
        assert_eq!(told.as_deref(), Some("hunter2"));
        let answer = |value: &str, body: &'static str| Incoming {
            status: 200,
            headers: vec![("x".into(), value.into())],
            body: body.into(),
            truncated: false,
            repeats_secret: false,
        };
        for (answer, wanted) in [
            (answer("", "you sent Bearer hunter2!"), true),
            (answer("<hunter2>", ""), true),
            (answer("hunter", "2"), false),
        ] {
            assert_eq!(answer.held_against(told.clone()).repeats_secret, wanted);
        }
        assert!(!answer("", "hunter2").held_against(None).repeats_secret);
    }

    #[test]
    fn a_refusal_says_what_to_add() {
        let HttpFault::Denied(text) = granted("https://c.internal:8501/x", &[]).unwrap_err() else {
            panic!("another fault");
        };
        assert!(text.contains("add https://c.internal:8501/ to spec.grants.http"), "{text}");
    }

    #[test]
    fn an_answer_that_repeats_the_secret_anywhere_is_known() {
        let answer = |headers: &[&str], body: &str, secret: Option<&str>| {
            let headers = headers.iter().map(|value| ("x".to_owned(), (*value).to_owned())).collect();
            let body = Bytes::copy_from_slice(body.as_bytes());
            let incoming = Incoming { status: 200, headers, body, truncated: false, repeats_secret: false };
            incoming.held_against(secret.map(str::to_owned)).repeats_secret
        };
        assert!(answer(&["a", "is s3cret!"], "", Some("s3cret")));
        assert!(answer(&["a"], "the s3cret", Some("s3cret")));
        assert!(!answer(&["a", "b"], "s3cre", Some("s3cret")));
        assert!(!answer(&["s3cret"], "s3cret", None));
    }
}
