//! Connections of clients that ask once and stay.

use super::measure::{Row, Run};
use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Request;
use http_body_util::BodyExt;
use umbel_tests::tls_backend::whole;
use umbel_tests::{Client, Connection};

const COUNT: usize = 4_000;
const AT_A_TIME: usize = 32;

/// Measures both protocols, with anonymous clients and with ones that show a certificate.
pub(super) async fn measure() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for alpn in ["http/1.1", "h2"] {
        for with_certificate in [false, true] {
            rows.push(open_and_close(alpn, with_certificate).await?);
        }
    }
    Ok(rows)
}

async fn open_and_close(alpn: &str, with_certificate: bool) -> Result<Row> {
    let mut run = Run::start(&[]).await?;
    let (client, path, caller) = if with_certificate {
        (
            run.admin.clone(),
            "/apis/apiregistration.k8s.io/v1/apiservices",
            "by the administrator's certificate",
        )
    } else {
        (run.umbel.anonymous()?, "/version", "anonymous")
    };
    run.begin().await?;
    let opening = stream::iter(0..COUNT).map(|_| ask(&client, alpn, path)).buffer_unordered(AT_A_TIME);
    let open: Vec<Connection> = opening.try_collect().await?;
    let each = run.hold().await? as f64 / COUNT as f64 / 1024.0;
    drop(open);
    let input = format!("{COUNT} TLS connections, {alpn}, {caller}, one request each");
    let limit = "≤ 20 KiB each; within 10 MiB of the start 10 s after they close";
    run.end(input, format!("{each:.1} KiB each"), limit).await
}

/// Opens a connection and reads the response of one request.
async fn ask(client: &Client, alpn: &str, path: &str) -> Result<Connection> {
    let mut connection = Connection::new(client.dial(alpn).await?, alpn).await?;
    let response = connection.send(Request::get(path).body(whole(""))?).await?;
    ensure!(response.status() == 200, "GET {path}: {}", response.status());
    response.into_body().collect().await?;
    Ok(connection)
}
