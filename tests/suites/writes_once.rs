//! Stock kubectl and client-go against a backend that executes each write and then breaks off: clients retry
//! responses with `Retry-After`, so each write must be executed once.

use crate::control_kit::encode;
use crate::proxying::backend::NAME;
use crate::proxying::pki::Authority;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::Reason;
use http::{Method, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use umbel_tests::{Kubectl, Peer, Umbel, need, wait_for};

const GROUP: &str = "once.example.com";
const BOUND: Duration = Duration::from_secs(60);

/// How the backend fails a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It executes the write and closes the connection.
    Close,
    /// It executes the write and resets the connection.
    Reset,
    /// It executes the write and sends garbage (HTTP/1.1), or resets the stream (HTTP/2).
    Nonsense,
    /// It executes the write and breaks off in its response.
    PartialAnswer,
    /// It executes the write and does not answer; clients ask with `?timeout=3s`.
    Silence,
    /// It refuses the stream (HTTP/2) the first two times, and then answers.
    RefuseTwice,
}

/// The behavior of the backend, and its record.
struct Behavior {
    fault: Mutex<Fault>,
    /// Methods of the writes that were executed.
    executed: Mutex<Vec<String>>,
    refusals: Mutex<usize>,
}

struct CountingBackend {
    port: u16,
    behavior: Arc<Behavior>,
    task: tokio::task::JoinHandle<()>,
}

impl CountingBackend {
    async fn start(ca: &Authority, alpn: &'static str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(ca.serve(ca.server(&[NAME], false)?, &[alpn])?);
        let behavior = Arc::new(Behavior {
            fault: Mutex::new(Fault::Close),
            executed: Mutex::default(),
            refusals: Mutex::default(),
        });
        let shared = Arc::clone(&behavior);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, behavior) = (acceptor.clone(), Arc::clone(&shared));
                serving.spawn(async move {
                    let stream = acceptor.accept(tcp).await?;
                    if alpn == "h2" {
                        serve_http2(stream, behavior).await
                    } else {
                        serve_http1(stream, &behavior).await
                    }
                });
            }
        });
        Ok(Self { port, behavior, task })
    }

    fn set(&self, fault: Fault) {
        *self.behavior.fault.lock() = fault;
        *self.behavior.refusals.lock() = 0;
        self.behavior.executed.lock().clear();
    }

    fn executed(&self) -> Vec<String> {
        self.behavior.executed.lock().clone()
    }
}

impl Drop for CountingBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn thing(name: &str) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Thing",
        "metadata": {"name": name, "namespace": "default", "uid": "7", "resourceVersion": "1"}})
}

/// Reads work: discovery, lists, and one object.
fn read(path: &str) -> (u16, Value) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["apis", _, _] => {
            let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update"];
            let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/v1"),
                "resources": [{"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing",
                    "verbs": verbs}]});
            (200, list)
        }
        ["apis", .., "things", "known"] => (200, thing("known")),
        ["apis", .., "things"] => (
            200,
            json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ThingList", "metadata": {}, "items": []}),
        ),
        _ => {
            let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound",
                "message": "not found", "code": 404});
            (404, status)
        }
    }
}

async fn serve_http1(mut stream: TlsStream<TcpStream>, behavior: &Behavior) -> Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head)?;
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        stream.read_exact(&mut vec![0; length.map_or(Ok(0), str::parse)?]).await?;
        if method == "GET" {
            let (code, body) = read(target.split('?').next().unwrap_or_default());
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {code} Is\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            continue;
        }
        behavior.executed.lock().push(method.to_owned());
        let fault = *behavior.fault.lock();
        let answer: &[u8] = match fault {
            Fault::Close | Fault::RefuseTwice => return Ok(()),
            Fault::Reset => return Ok(stream.get_ref().0.set_zero_linger()?),
            Fault::Nonsense => b"\x15\x03 no HTTP\r\n\r\n",
            Fault::PartialAnswer => {
                b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
            }
            Fault::Silence => {
                stream.read_u8().await?;
                return Ok(());
            }
        };
        stream.write_all(answer).await?;
        return Ok(stream.flush().await?);
    }
}

async fn serve_http2(stream: TlsStream<TcpStream>, behavior: Arc<Behavior>) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        let (head, mut body) = request.into_parts();
        if head.method == Method::GET {
            let (code, answer) = read(head.uri.path());
            let response =
                Response::builder().status(code).header("content-type", "application/json").body(())?;
            respond.send_response(response, false)?.send_data(Bytes::from(answer.to_string()), true)?;
            continue;
        }
        let fault = *behavior.fault.lock();
        if fault == Fault::RefuseTwice {
            let mut refusals = behavior.refusals.lock();
            // The gateway tries a second connection itself before it answers the client.
            if *refusals < 2 {
                *refusals += 1;
                respond.send_reset(Reason::REFUSED_STREAM);
                continue;
            }
        }
        let whole = async {
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data?.len())?;
            }
            anyhow::Ok(())
        };
        // The connection has to be polled while the body comes.
        tokio::select! {
            whole = whole => whole?,
            next = std::future::poll_fn(|cx| connection.poll_closed(cx)) => return Ok(next?),
        }
        behavior.executed.lock().push(head.method.to_string());
        match fault {
            Fault::Close | Fault::Reset => return Ok(()),
            Fault::Nonsense => respond.send_reset(Reason::INTERNAL_ERROR),
            Fault::PartialAnswer => {
                let response =
                    Response::builder().status(201).header("content-type", "application/json").body(())?;
                let mut stream = respond.send_response(response, false)?;
                stream.send_data(Bytes::from("{"), false)?;
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
            // Held until the gateway resets the stream.
            Fault::Silence => drop(tokio::spawn(async move {
                std::future::poll_fn(|cx| respond.poll_reset(cx)).await.ok();
            })),
            Fault::RefuseTwice => {
                let response =
                    Response::builder().status(200).header("content-type", "application/json").body(())?;
                let answer = Bytes::from(thing("known").to_string());
                respond.send_response(response, false)?.send_data(answer, true)?;
            }
        }
    }
    Ok(())
}

async fn register(umbel: &Umbel, ca: &Authority, port: u16) -> Result<()> {
    let admin = umbel.admin()?;
    let name = json!({"apiVersion": "service.grafana.app/v0alpha1", "kind": "ExternalName",
        "metadata": {"name": "backend", "namespace": "default"}, "spec": {"host": "127.0.0.1"}});
    admin
        .post("/apis/service.grafana.app/v0alpha1/namespaces/default/externalnames", &name)
        .await?
        .expect(201)?;
    let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("v1.{GROUP}")},
        "spec": {"group": GROUP, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "caBundle": encode(&ca.pem),
            "service": {"namespace": "default", "name": "backend", "port": port}}});
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    admin.post(services, &object).await?.expect(201)?;
    open(umbel).await
}

/// Waits until requests pass: the backend's broken connections make the gateway check it.
async fn open(umbel: &Umbel) -> Result<()> {
    let admin = umbel.admin()?;
    wait_for("the backend to be available", BOUND, || async {
        let list = admin.get(&format!("/apis/{GROUP}/v1/namespaces/default/things")).await?;
        ensure!(list.status == 200, "{}", list.text());
        let discovery = admin.get(&format!("/apis/{GROUP}/v1")).await?;
        ensure!(discovery.status == 200, "{}", discovery.text());
        Ok(())
    })
    .await
}

/// One write by a client: the command, and its method.
enum Write<'a> {
    Kubectl(&'a Kubectl, &'static [&'static str], &'static str),
    ClientGo(&'a Path, &'static str, &'static str),
}

impl Write<'_> {
    fn method(&self) -> &'static str {
        match self {
            Self::Kubectl(_, _, method) | Self::ClientGo(_, _, method) => method,
        }
    }

    async fn run(&self, umbel: &Umbel) -> Result<(bool, String)> {
        match self {
            Self::Kubectl(kubectl, arguments, _) => {
                let mut object = thing(if arguments[0] == "create" { "new" } else { "known" });
                object["metadata"] = json!({"name": object["metadata"]["name"], "namespace": "default"});
                if arguments[0] == "apply" {
                    object["spec"] = json!({"size": 2});
                }
                let output = kubectl.run_with_input(arguments, &object.to_string()).await?;
                Ok((output.code == 0, format!("{arguments:?}: {}{}", output.stdout, output.stderr)))
            }
            Self::ClientGo(program, verb, _) => {
                let mut command = tokio::process::Command::new(program);
                command.arg(umbel.kubeconfig()).args([GROUP, verb]).kill_on_drop(true);
                let output =
                    tokio::time::timeout(BOUND, command.output()).await.context("client-go hangs")??;
                let told = String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr);
                Ok((output.status.success(), format!("{verb}: {told}")))
            }
        }
    }
}

const FAULTS: [Fault; 5] =
    [Fault::Close, Fault::Reset, Fault::Nonsense, Fault::PartialAnswer, Fault::Silence];

async fn write_once(alpn: &'static str) -> Result<()> {
    let umbel = Umbel::start().await?;
    let (Some(kubectl), Some(program)) =
        (need(Kubectl::newest(&umbel.kubeconfig()))?, need(Peer::ClientGoWriter.program())?)
    else {
        return Ok(());
    };
    let ca = Authority::new("once")?;
    let backend = CountingBackend::start(&ca, alpn).await?;
    register(&umbel, &ca, backend.port).await?;
    let delete = &["delete", "things", "known", "--wait=false", "--request-timeout=3s"];
    let writes = [
        Write::Kubectl(&kubectl, &["create", "--validate=false", "--request-timeout=3s", "-f", "-"], "POST"),
        Write::Kubectl(&kubectl, &["apply", "--validate=false", "--request-timeout=3s", "-f", "-"], "PATCH"),
        Write::Kubectl(&kubectl, delete, "DELETE"),
        Write::ClientGo(&program, "create", "POST"),
        Write::ClientGo(&program, "update", "PUT"),
        Write::ClientGo(&program, "patch", "PATCH"),
        Write::ClientGo(&program, "delete", "DELETE"),
        Write::ClientGo(&program, "deletecollection", "DELETE"),
    ];
    for fault in FAULTS {
        for write in &writes {
            open(&umbel).await?;
            backend.set(fault);
            let (is_success, told) = write.run(&umbel).await?;
            let executed = backend.executed();
            ensure!(!is_success, "{alpn} {fault:?} {told}");
            ensure!(executed == [write.method()], "{alpn} {fault:?} {executed:?} {told}");
        }
    }
    if alpn == "h2" {
        // Rejected writes are retried, by the gateway or by the client, and executed once, too.
        for write in &writes {
            open(&umbel).await?;
            backend.set(Fault::RefuseTwice);
            let (_, told) = write.run(&umbel).await?;
            ensure!(backend.executed() == [write.method()], "{:?} {told}", backend.executed());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_and_client_go_write_once_through_http1() -> Result<()> {
    write_once("http/1.1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_and_client_go_write_once_through_http2() -> Result<()> {
    write_once("h2").await
}
