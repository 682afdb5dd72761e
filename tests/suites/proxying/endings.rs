//! How a connection of an HTTP/1.1 backend may end, with a body and without `close_notify`.

use super::backend::NAME;
use super::pki::Authority;
use super::plane::{LIMIT, Plane, authorised, whole};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use std::io::Write as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const PATH: &str = "/apis/g.example/v1/things";
const BODY: &[u8] = b"{\"kind\":\"ThingList\",\"items\":[]}";

#[derive(Clone, Copy, Debug)]
enum End {
    /// TCP ends after a whole record.
    BetweenRecords,
    /// TCP ends before the last bytes of a record.
    InsideRecord,
    /// TCP is reset after a whole record.
    Reset,
    /// TLS sends `close_notify`.
    CloseNotify,
}

async fn answer(mut stream: TlsStream<TcpStream>, head: &str, body: &[u8], end: End) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    match end {
        End::CloseNotify => {
            stream.write_all(body).await?;
            Ok(stream.shutdown().await?)
        }
        End::BetweenRecords => {
            stream.write_all(body).await?;
            stream.flush().await?;
            Ok(stream.into_inner().0.shutdown().await?)
        }
        End::Reset => {
            stream.write_all(body).await?;
            stream.flush().await?;
            // The body is read before the reset discards it.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            Ok(stream.get_ref().0.set_zero_linger()?)
        }
        End::InsideRecord => {
            let (mut tcp, mut tls) = stream.into_inner();
            tls.writer().write_all(body)?;
            let mut record = Vec::new();
            tls.write_tls(&mut record)?;
            tcp.write_all(&record[..record.len() - 3]).await?;
            Ok(tcp.shutdown().await?)
        }
    }
}

/// The body that a client reads; `None` if it is cut off.
async fn read(client: &str, head: &'static str, body: &'static [u8], end: End) -> Result<Option<Bytes>> {
    let ca = Authority::new("backends")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let tls = TlsAcceptor::from(ca.serve(ca.server(&[NAME], false)?, &["http/1.1"])?);
    let serving: tokio::task::JoinHandle<Result<()>> = tokio::spawn(async move {
        loop {
            let stream = tls.accept(listener.accept().await?.0).await?;
            answer(stream, head, body, end).await?;
        }
    });
    let plane = Plane::before(port, &ca)?;
    let mut client = plane.client(client).await?;
    let request = authorised(Request::get(PATH).body(whole(""))?)?;
    // The gateway breaks off, too, and may not have sent the head by then.
    let Ok(answer) = client.send(request).await else { return Ok(None) };
    let (head, body) = answer.into_parts();
    let body = tokio::time::timeout(LIMIT, body.collect()).await.context("the body does not end")?;
    serving.abort();
    ensure!(head.status == 200, "{head:?}");
    Ok(body.ok().map(|body| body.to_bytes()))
}

const BARE: &str = "HTTP/1.1 200 OK\r\n\r\n";
const OLD: &str = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n";
const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n";
const LONGER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_end_between_records_ends_a_body_that_nothing_else_delimits() -> Result<()> {
    for client in ["http/1.1", "h2"] {
        for head in [BARE, OLD] {
            for end in [End::CloseNotify, End::BetweenRecords] {
                let body = read(client, head, BODY, end).await?;
                assert_eq!(body.as_deref(), Some(BODY), "{client} {head:?} {end:?}");
            }
            for end in [End::InsideRecord, End::Reset] {
                let body = read(client, head, BODY, end).await?;
                // An HTTP/1.0 client cannot detect this; the test's client speaks HTTP/1.1 or HTTP/2.
                assert_eq!(body, None, "{client} {head:?} {end:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_end_cuts_a_body_with_a_length_or_chunks() -> Result<()> {
    for client in ["http/1.1", "h2"] {
        for end in [End::CloseNotify, End::BetweenRecords, End::InsideRecord, End::Reset] {
            for (head, body) in
                [(LONGER, BODY), (CHUNKED, b"5\r\nabcde\r\n".as_slice()), (CHUNKED, b"5\r\nab")]
            {
                assert_eq!(read(client, head, body, end).await?, None, "{client} {head:?} {end:?}");
            }
        }
        for end in [End::CloseNotify, End::BetweenRecords] {
            assert_eq!(read(client, LENGTH, BODY, end).await?.as_deref(), Some(BODY), "{client} {end:?}");
        }
    }
    Ok(())
}
