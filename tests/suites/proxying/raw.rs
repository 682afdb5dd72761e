//! A client that sends HTTP/2 frames, and header blocks.

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
};
use super::plane::{LIMIT, Plane};
use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client;

pub use umbel_tests::{Far, RawBackend, read_head};

/// A client's side of an HTTP/2 connection, frame by frame.
pub struct RawClient {
    stream: client::TlsStream<TcpStream>,
}

/// The frames received on one stream.
#[derive(Debug, Default)]
pub struct RawAnswer {
    pub body: Vec<u8>,
    /// The reason, when the stream was reset.
    pub reset: Option<u32>,
}

impl RawAnswer {
    /// The code of the `metav1.Status` that the answer must be.
    pub fn status(&self) -> Result<u64> {
        let object: serde_json::Value =
            serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {self:?}"))?;
        anyhow::ensure!(object["kind"] == "Status", "no Status: {object}");
        object["code"].as_u64().context("no code")
    }
}

impl RawClient {
    pub async fn connect(plane: &Plane) -> Result<Self> {
        let mut stream = plane.dial(None, "h2").await?;
        stream.write_all(PREFACE).await?;
        Frame::new(SETTINGS, 0, 0, &[]).write(&mut stream).await?;
        Ok(Self { stream })
    }

    pub async fn send(&mut self, frame: Frame) -> Result<()> {
        frame.write(&mut self.stream).await
    }

    /// Sends a header block in as many frames as needed. Errors of the connection appear when it is read.
    pub async fn send_block(&mut self, stream: u32, block: &[u8], is_end: bool) -> Result<()> {
        let count = block.chunks(16_384).count();
        for (number, fragment) in block.chunks(16_384).enumerate() {
            let kind = if number == 0 { HEADERS } else { CONTINUATION };
            let end = if number == 0 && is_end { END_STREAM } else { 0 };
            let flags = end | if number + 1 == count { END_HEADERS } else { 0 };
            self.send(Frame::new(kind, flags, stream, fragment)).await?;
        }
        Ok(())
    }

    /// Reads until a stream ends.
    pub async fn read(&mut self, stream: u32) -> Result<RawAnswer> {
        tokio::time::timeout(LIMIT, self.read_on(stream)).await.context("no end of the stream")?
    }

    async fn read_on(&mut self, stream: u32) -> Result<RawAnswer> {
        let mut answer = RawAnswer::default();
        loop {
            let frame = Frame::read(&mut self.stream).await?;
            match frame.kind {
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
                    self.send(Frame::new(frame.kind, ACK, 0, payload)).await?;
                }
                DATA if frame.stream == stream => answer.body.extend(&frame.payload),
                RST_STREAM if frame.stream == stream => {
                    let reason = frame.payload.first_chunk().context("a reason")?;
                    answer.reset = Some(u32::from_be_bytes(*reason));
                    return Ok(answer);
                }
                _ => {}
            }
            if frame.stream == stream && matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0
            {
                return Ok(answer);
            }
        }
    }
}

/// A literal field that is not indexed.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(length(text.len()));
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn length(len: usize) -> Vec<u8> {
    if len < 127 {
        return vec![len as u8];
    }
    let mut rest = len - 127;
    let mut bytes = vec![127];
    while rest >= 128 {
        bytes.push(rest as u8 | 128);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// The pseudo-header fields of a request by the administrator.
pub fn request_block(method: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "https"),
        field(":path", path),
        field(":authority", "umbel.example"),
        field("authorization", "Bearer admin-token"),
    ]
    .concat()
}

/// This many fields with different short names.
pub fn distinct_fields(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| field(&short_name(number), "")).collect()
}

/// Without an e, because `te` has a meaning.
fn short_name(mut number: usize) -> String {
    let letters = b"abcdfghijklmnopqrstuvwxyz0123456789";
    let mut name = String::new();
    loop {
        name.push(char::from(letters[number % letters.len()]));
        number /= letters.len();
        if number == 0 {
            return name;
        }
    }
}

/// Waits for a request on an HTTP/2 connection: its stream.
pub async fn read_request(stream: &mut Far) -> Result<u32> {
    loop {
        let frame = Frame::read(stream).await?;
        match frame.kind {
            HEADERS => return Ok(frame.stream),
            SETTINGS if frame.flags & ACK == 0 => Frame::new(SETTINGS, ACK, 0, &[]).write(stream).await?,
            PING if frame.flags & ACK == 0 => Frame::new(PING, ACK, 0, &frame.payload).write(stream).await?,
            _ => {}
        }
    }
}

/// Begins an HTTP/2 connection of a backend.
pub async fn begin_http2(stream: &mut Far) -> Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    if preface != PREFACE {
        bail!("no HTTP/2");
    }
    Frame::new(SETTINGS, 0, 0, &[]).write(stream).await
}
