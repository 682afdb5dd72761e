//! Plain HTTP that arrives at the TLS port gets an answer that a person understands (contract §7.12).

use crate::transport::BulkRead;
use std::future::poll_fn;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
const METHODS: [&[u8]; 7] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"PATCH", b"DELET", b"OPTIO"];

/// Waits for the first bytes and answers them when they are plain HTTP; `true` says that it did and that the
/// connection is done. The bytes stay buffered for the TLS handshake otherwise.
///
/// # Errors
/// Those of the socket.
pub async fn refuse_plain_http(stream: &mut BulkRead<TcpStream>) -> io::Result<bool> {
    if !poll_fn(|cx| stream.poll_fill(cx)).await? {
        return Ok(true);
    }
    if !METHODS.iter().any(|method| stream.buffered().starts_with(method)) {
        return Ok(false);
    }
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    Ok(true)
}
