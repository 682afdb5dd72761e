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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// What a client that sends these bytes reads, and whether the connection is done.
    async fn sent(bytes: &[u8]) -> (bool, Vec<u8>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut stream = BulkRead::new(listener.accept().await.unwrap().0);
        let is_done = refuse_plain_http(&mut stream).await.unwrap();
        let left = stream.buffered().to_vec();
        drop(stream);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.ok();
        (is_done, left, answer)
    }

    #[tokio::test]
    async fn plain_http_is_answered_in_plain_words() {
        for request in
            ["GET / HTTP/1.1\r\n\r\n", "PATCH /apis HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n"]
        {
            let (is_done, _, answer) = sent(request.as_bytes()).await;
            assert!(is_done && answer.starts_with("HTTP/1.0 400 "), "{request}: {answer}");
            assert!(answer.ends_with("Client sent an HTTP request to an HTTPS server.\n"), "{answer}");
        }
        assert_eq!(sent(b"").await, (true, Vec::new(), String::new()));
    }

    #[tokio::test]
    async fn a_handshake_stays_buffered() {
        let hello = [22, 3, 1, 0, 1];
        assert_eq!(sent(&hello).await, (false, hello.to_vec(), String::new()));
    }
}
