//! A backend with Python's standard library: a typical server made of `http.server` and `ssl`.

use super::authority::Leaf;
use super::peers::Missing;
use super::process::Process;
use super::wait::wait_for;
use anyhow::{Context, Result};
use base64::Engine as _;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Answers `/apis/GROUP/VERSION`, `…/large` (300,000 bytes), `…/slow` (after 14 s) and `…?watch=true` (one event, then
/// nothing). HTTP/1.0 and all versions of TLS, unless the settings say otherwise.
const SCRIPT: &str = r#"
import json, ssl, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

settings = json.loads(sys.argv[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = settings.get("protocol", "HTTP/1.0")

    def log_message(self, *arguments):
        pass

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if self.protocol_version != "HTTP/1.0":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        parts = path.split("/")
        if "watch" in query:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b'{"type":"ADDED"}\n')
            self.wfile.flush()
            time.sleep(3600)
        elif parts[1] == "apis" and len(parts) == 4:
            resource = {"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": ["get"]}
            self.answer(json.dumps({"kind": "APIResourceList", "apiVersion": "v1",
                                    "groupVersion": "/".join(parts[2:]), "resources": [resource]}).encode())
        elif parts[-1] == "large":
            self.answer(b"x" * 300000)
        elif parts[-1] == "slow":
            time.sleep(14)
            self.answer(b"late")
        else:
            self.send_error(404)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.crt", "server.key")
if "curve" in settings:
    context.set_ecdh_curve(settings["curve"])
if "ciphers" in settings:
    context.set_ciphers(settings["ciphers"])
if settings.get("tls") == "1.2":
    context.maximum_version = ssl.TLSVersion.TLSv1_2
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A running backend; killed when dropped.
#[derive(Debug)]
pub struct PythonBackend {
    /// On loopback.
    pub port: u16,
    process: Process,
    _directory: TempDir,
}

impl PythonBackend {
    /// Checks that there is a Python with `ssl`.
    ///
    /// # Errors
    /// When there is no such Python.
    pub fn available() -> Result<(), Missing> {
        let output = Command::new("python3").args(["-c", "import ssl, http.server"]).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(Missing(format!("python3: {}", String::from_utf8_lossy(&output.stderr)))),
            Err(error) => Err(Missing(format!("python3 cannot be run: {error}"))),
        }
    }

    /// Starts it with this certificate.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(leaf: &Leaf, settings: &Value) -> Result<Self> {
        let directory = TempDir::new()?;
        let path = |name: &str| directory.path().join(name);
        let certificate = leaf.chain.first().context("a certificate")?;
        std::fs::write(path("server.crt"), pem("CERTIFICATE", certificate))?;
        std::fs::write(path("server.key"), pem("PRIVATE KEY", leaf.key.secret_der()))?;
        std::fs::write(path("server.py"), SCRIPT)?;
        let mut command = Command::new("python3");
        command.args(["-u", "server.py", &settings.to_string()]).current_dir(directory.path());
        let mut process = Process::start("python3", &mut command, &path("python.log"))?;
        let port = wait_for("Python to listen", START, || {
            let (alive, log) = (process.check_alive(), process.log());
            async move {
                alive?;
                log.lines().next().and_then(|line| line.parse().ok()).context("no port yet")
            }
        })
        .await?;
        Ok(Self { port, process, _directory: directory })
    }

    /// Sends it a signal such as `STOP`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status()?;
        anyhow::ensure!(status.success(), "cannot send {name} to Python");
        Ok(())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
