//! A backend that breaks its connection at a chosen point of a request, and counts the requests that it may have
//! executed.

use super::backend::NAME;
use super::frames::{Frame, HttpFrame};
use super::pki::Authority;
use anyhow::{Context, Result, bail, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The TCP connection is refused.
    BeforeAccept,
    /// TCP is closed before the TLS handshake.
    AfterAccept,
    /// Closed after the TLS handshake.
    AfterTls,
    /// Closed after the head of the request.
    AfterHead,
    /// Closed in the middle of the body.
    MidBody,
    /// Closed after the whole request.
    AfterBody,
    /// Reset (TCP) after the whole request.
    ResetConnection,
    /// The response is not HTTP.
    Garbage,
    /// The response ends in its head.
    PartialHead,
    /// The response ends in its body.
    PartialBody,
    /// No response arrives.
    Silence,
    /// HTTP/2: GOAWAY names an earlier request as the last one that was processed.
    LeaveBefore,
    /// HTTP/2: GOAWAY names this request as the last one.
    LeaveAfter,
    /// HTTP/2: the stream is reset with this error code.
    Reset(u32),
}

/// `REFUSED_STREAM`.
pub const REFUSED: u32 = 7;

impl Break {
    /// The points for HTTP/1.1.
    pub const HTTP1: [Self; 11] = [
        Self::BeforeAccept,
        Self::AfterAccept,
        Self::AfterTls,
        Self::AfterHead,
        Self::MidBody,
        Self::AfterBody,
        Self::ResetConnection,
        Self::Garbage,
        Self::PartialHead,
        Self::PartialBody,
        Self::Silence,
    ];

    /// Further points for HTTP/2.
    pub const HTTP2: [Self; 10] = [
        Self::LeaveBefore,
        Self::LeaveAfter,
        Self::Reset(0),
        Self::Reset(1),
        Self::Reset(2),
        Self::Reset(3),
        Self::Reset(REFUSED),
        Self::Reset(8),
        Self::Reset(11),
        Self::Reset(13),
    ];

    /// Whether the backend certainly did not process the request, and the gateway can know that.
    pub fn excludes_processing(self) -> bool {
        matches!(self, Self::BeforeAccept | Self::AfterAccept | Self::LeaveBefore | Self::Reset(REFUSED))
    }
}

/// A running backend; stops when it is dropped.
pub struct BreakingServer {
    pub port: u16,
    executed: Arc<AtomicUsize>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl BreakingServer {
    /// The first `good` requests on each connection are answered; all others break.
    pub async fn start(ca: &Authority, alpn: &'static str, point: Break, good: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let executed = Arc::<AtomicUsize>::default();
        let acceptor = TlsAcceptor::from(ca.serve(ca.server(&[NAME], false)?, &[alpn])?);
        let count = Arc::clone(&executed);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                serving.spawn(async move {
                    if point == Break::AfterAccept && good == 0 {
                        return Ok(());
                    }
                    let stream = acceptor.accept(tcp).await?;
                    if point == Break::AfterTls && good == 0 {
                        return Ok(());
                    }
                    let server = Exchange { stream, point, good, executed: &count };
                    if alpn == "h2" { server.serve_http2().await } else { server.serve_http1().await }
                });
            }
        });
        Ok(Self { port, executed, task: Some(task) })
    }

    /// Refuses connections from now on, and breaks those that are open.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            drop(task.await);
        }
    }

    /// How many requests may have been executed: their heads were read.
    pub fn executed(&self) -> usize {
        self.executed.load(Ordering::SeqCst)
    }
}

impl Drop for BreakingServer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Exchange<'a> {
    stream: TlsStream<TcpStream>,
    point: Break,
    good: usize,
    executed: &'a AtomicUsize,
}

/// The rest of a request after its head.
enum Rest {
    Bytes(usize),
    Chunks,
}

impl Exchange<'_> {
    async fn serve_http1(mut self) -> Result<()> {
        for number in 0.. {
            let rest = read_head(&mut self.stream).await?;
            self.executed.fetch_add(1, Ordering::SeqCst);
            if number < self.good {
                skip(&mut self.stream, rest).await?;
                self.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                continue;
            }
            match (self.point, &rest) {
                (Break::AfterHead, _) => return Ok(()),
                (Break::MidBody, Rest::Bytes(length)) => {
                    return skip(&mut self.stream, Rest::Bytes(length / 2)).await;
                }
                (Break::MidBody, Rest::Chunks) => {
                    self.stream.read_u8().await?;
                    return Ok(());
                }
                _ => skip(&mut self.stream, rest).await?,
            }
            let answer: &[u8] = match self.point {
                Break::Garbage => b"\x16\x03\x01 no HTTP\r\n\r\n",
                Break::PartialHead => b"HTTP/1.1 201 Created\r\nContent-Le",
                Break::PartialBody => b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"kind\":",
                Break::ResetConnection => {
                    return Ok(self.stream.get_ref().0.set_zero_linger()?);
                }
                Break::Silence => {
                    // Until the gateway closes the connection.
                    self.stream.read_u8().await?;
                    return Ok(());
                }
                _ => b"",
            };
            self.stream.write_all(answer).await?;
            return Ok(self.stream.flush().await?);
        }
        Ok(())
    }

    async fn serve_http2(mut self) -> Result<()> {
        HttpFrame::greet(&mut self.stream).await?;
        let mut number = 0;
        let mut is_broken = false;
        loop {
            let frame = HttpFrame::next(&mut self.stream).await?;
            if matches!(frame, HttpFrame::Head { .. }) {
                self.executed.fetch_add(1, Ordering::SeqCst);
                number += 1;
                is_broken = number > self.good;
            }
            let stream = match frame {
                HttpFrame::Head { .. } if is_broken && self.point == Break::AfterHead => return Ok(()),
                HttpFrame::Data { .. } if is_broken && self.point == Break::MidBody => return Ok(()),
                HttpFrame::Head { stream, is_last } | HttpFrame::Data { stream, is_last } if is_last => {
                    stream
                }
                HttpFrame::Head { .. } | HttpFrame::Data { .. } | HttpFrame::Other => continue,
            };
            if !is_broken {
                Frame::answer(stream).write(&mut self.stream).await?;
                continue;
            }
            if matches!(self.point, Break::LeaveBefore | Break::Reset(REFUSED)) {
                self.executed.fetch_sub(1, Ordering::SeqCst);
            }
            match self.point {
                Break::LeaveBefore => {
                    Frame::go_away(stream.saturating_sub(2)).write(&mut self.stream).await?;
                }
                Break::Reset(reason) => Frame::reset(stream, reason).write(&mut self.stream).await?,
                Break::LeaveAfter => return Frame::go_away(stream).write(&mut self.stream).await,
                Break::Garbage => {
                    self.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
                    return Ok(self.stream.flush().await?);
                }
                Break::PartialHead => {
                    self.stream.write_all(&[0, 0, 50, 1, 4, 0, 0]).await?;
                    return Ok(self.stream.flush().await?);
                }
                Break::PartialBody => {
                    Frame::answer_head(stream).write(&mut self.stream).await?;
                    return Frame::data(stream, b"{\"kind\":").write(&mut self.stream).await;
                }
                Break::ResetConnection => {
                    return Ok(self.stream.get_ref().0.set_zero_linger()?);
                }
                Break::Silence => {}
                _ => return Ok(()),
            }
        }
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Rest> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        ensure!(head.len() < 1 << 16, "no end of the head");
    }
    let head = String::from_utf8(head)?.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return Ok(Rest::Chunks);
    }
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    Ok(Rest::Bytes(length.map_or(Ok(0), str::parse)?))
}

async fn skip(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), rest: Rest) -> Result<()> {
    match rest {
        Rest::Bytes(length) => {
            stream.read_exact(&mut vec![0; length]).await?;
        }
        Rest::Chunks => loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(stream.read_u8().await?);
            }
            let size = std::str::from_utf8(&line)?.trim();
            let size = usize::from_str_radix(size, 16).context("the size of a chunk")?;
            stream.read_exact(&mut vec![0; size + 2]).await?;
            if size == 0 {
                return Ok(());
            }
            if size > 1 << 24 {
                bail!("too large");
            }
        },
    }
    Ok(())
}
