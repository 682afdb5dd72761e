//! A backend that speaks HTTP/2 frame by frame, so that a test decides each of them.

use super::backend::NAME;
use super::pki::Authority;
use anyhow::{Result, ensure};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Window for each stream and for the connection beyond the default one.
const WINDOW: u32 = 1 << 20;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// What becomes of a request that is there with its whole body.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// 200, and its body counts as executed.
    Answer,
    /// The stream is refused: nothing was done.
    Refuse,
    /// The connection goes away; the stream before was the last one that was looked at.
    LeaveBefore,
    /// The connection goes away after this stream, and ends without its answer.
    LeaveAfter,
}

/// A running server; stops when it is dropped.
pub struct FrameServer {
    pub port: u16,
    record: Arc<Record>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    connections: AtomicUsize,
    requests: AtomicUsize,
    executed: Mutex<Vec<Vec<u8>>>,
}

impl FrameServer {
    /// `reply` decides by the number of the connection, from 0.
    pub async fn start(ca: &Authority, reply: fn(usize) -> Reply) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(ca.serve(ca.server(&[NAME], false)?, &["h2"])?);
        let record = Arc::<Record>::default();
        let seen = Arc::clone(&record);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                let reply = reply(seen.connections.fetch_add(1, Ordering::SeqCst));
                // What the gateway makes of a broken connection is what a test looks at.
                serving.spawn(async move {
                    drop(serve(acceptor.accept(stream).await?, reply, &seen).await);
                    anyhow::Ok(())
                });
            }
        });
        Ok(Self { port, record, task })
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// How many requests came with their whole bodies, refused ones too.
    pub fn requests(&self) -> usize {
        self.record.requests.load(Ordering::SeqCst)
    }

    /// The bodies of the requests that were answered.
    pub fn executed(&self) -> Vec<Vec<u8>> {
        self.record.executed.lock().clone()
    }
}

impl Drop for FrameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A frame of HTTP/2.
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A frame, as far as a backend that reads requests needs it.
pub enum HttpFrame {
    /// The head of a request.
    Head { stream: u32, is_last: bool },
    /// A part of its body.
    Data { stream: u32, is_last: bool },
    /// Any other frame; settings and pings are answered already.
    Other,
}

impl HttpFrame {
    /// Reads the preface of a client and sends settings with large windows.
    pub async fn greet(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<()> {
        let mut preface = [0; PREFACE.len()];
        io.read_exact(&mut preface).await?;
        ensure!(preface == PREFACE, "no HTTP/2");
        let window = [&[0, 4][..], &WINDOW.to_be_bytes()].concat();
        Frame::new(SETTINGS, 0, 0, &window).write(io).await?;
        Frame::new(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes()).write(io).await
    }

    /// The next frame.
    pub async fn next(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<Self> {
        let frame = Frame::read(io).await?;
        let (stream, is_last) = (frame.stream, frame.flags & END_STREAM != 0);
        Ok(match frame.kind {
            HEADERS => Self::Head { stream, is_last },
            DATA => Self::Data { stream, is_last },
            SETTINGS | PING if frame.flags & ACK == 0 => {
                let payload: &[u8] = if frame.kind == PING { &frame.payload } else { &[] };
                Frame::new(frame.kind, ACK, 0, payload).write(io).await?;
                Self::Other
            }
            _ => Self::Other,
        })
    }
}

impl Frame {
    /// `200` without a body. RFC 7541 has 0x88 for ":status: 200".
    pub fn answer(stream: u32) -> Self {
        Self::new(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88])
    }

    /// The same with a body to come.
    pub fn answer_head(stream: u32) -> Self {
        Self::new(HEADERS, END_HEADERS, stream, &[0x88])
    }

    /// A part of a body.
    pub fn data(stream: u32, data: &[u8]) -> Self {
        Self::new(DATA, 0, stream, data)
    }

    /// `RST_STREAM`.
    pub fn reset(stream: u32, reason: u32) -> Self {
        Self::new(RST_STREAM, 0, stream, &reason.to_be_bytes())
    }

    /// `GOAWAY` without an error.
    pub fn go_away(last: u32) -> Self {
        Self::new(GOAWAY, 0, 0, &[last.to_be_bytes(), 0_u32.to_be_bytes()].concat())
    }

    pub fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        from.read_exact(&mut payload).await?;
        Ok(Self { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        to.write_all(&bytes).await?;
        Ok(to.flush().await?)
    }
}

async fn serve(mut io: impl AsyncRead + AsyncWrite + Unpin, reply: Reply, record: &Record) -> Result<()> {
    HttpFrame::greet(&mut io).await?;
    let mut bodies: HashMap<u32, Vec<u8>> = HashMap::new();
    loop {
        let frame = Frame::read(&mut io).await?;
        match frame.kind {
            SETTINGS | PING if frame.flags & ACK == 0 => {
                Frame::new(frame.kind, ACK, 0, if frame.kind == PING { &frame.payload } else { &[] })
                    .write(&mut io)
                    .await?;
            }
            HEADERS => drop(bodies.insert(frame.stream, Vec::new())),
            DATA => bodies.entry(frame.stream).or_default().extend(&frame.payload),
            _ => continue,
        }
        if !matches!(frame.kind, HEADERS | DATA) || frame.flags & END_STREAM == 0 {
            continue;
        }
        record.requests.fetch_add(1, Ordering::SeqCst);
        let body = bodies.remove(&frame.stream).unwrap_or_default();
        match reply {
            Reply::Answer => {
                record.executed.lock().push(body);
                Frame::answer(frame.stream).write(&mut io).await?;
            }
            Reply::Refuse => Frame::reset(frame.stream, 7).write(&mut io).await?,
            Reply::LeaveBefore => Frame::go_away(frame.stream.saturating_sub(2)).write(&mut io).await?,
            Reply::LeaveAfter => {
                Frame::go_away(frame.stream).write(&mut io).await?;
                return Ok(io.shutdown().await?);
            }
        }
    }
}
