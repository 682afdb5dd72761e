//! A small DNS server over UDP, for plugins that ask.

use anyhow::Result;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One record of the zone.
#[derive(Clone, Debug)]
pub enum Record {
    /// An address.
    A(Ipv4Addr),
    /// A service: priority, weight, port, target.
    Srv(u16, u16, u16, &'static str),
}

const TYPE_A: u16 = 1;
const TYPE_SRV: u16 = 33;
const NO_SUCH_NAME: u8 = 3;

/// Answers from a fixed zone until it is dropped.
#[derive(Debug)]
pub struct DnsServer {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<AtomicU32>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Serves `zone` with this TTL in seconds. Names end without a dot.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(zone: Vec<(&'static str, Record)>, ttl: u32) -> Result<Self> {
        Self::start_slow(zone, ttl, Duration::ZERO)
    }

    /// The same, with a pause before each answer, one question after the other.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_slow(zone: Vec<(&'static str, Record)>, ttl: u32, pause: Duration) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let address = socket.local_addr()?;
        let mut names: HashMap<String, Vec<Record>> = HashMap::new();
        for (name, record) in zone {
            names.entry(name.to_owned()).or_default().push(record);
        }
        let (asked, stopped) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (Arc::clone(&asked), Arc::clone(&stopped));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(pause);
                if let Some(answer) = answer(&buffer[..length], &names, ttl) {
                    socket.send_to(&answer, peer).ok();
                }
            }
        });
        Ok(Self { address, asked, stopped, thread: Some(thread) })
    }

    /// How many questions came.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The answer to one question (RFC 1035 §4), without compression.
fn answer(query: &[u8], zone: &HashMap<String, Vec<Record>>, ttl: u32) -> Option<Vec<u8>> {
    let (name, end) = read_name(query, 12)?;
    let question = query.get(12..end + 4)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let found = zone.get(&name.to_ascii_lowercase());
    let records: Vec<&Record> = found.into_iter().flatten().filter(|record| record.kind() == kind).collect();
    let code = if found.is_some() { 0 } else { NO_SUCH_NAME };
    let mut out = query.get(..2)?.to_vec();
    out.extend([0x85, 0x80 | code]);
    for count in [1, u16::try_from(records.len()).ok()?, 0, 0] {
        out.extend(count.to_be_bytes());
    }
    out.extend(question);
    for record in records {
        write_name(&mut out, &name);
        out.extend(kind.to_be_bytes());
        out.extend(1_u16.to_be_bytes());
        out.extend(ttl.to_be_bytes());
        let data = record.data();
        out.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

impl Record {
    fn kind(&self) -> u16 {
        match self {
            Self::A(_) => TYPE_A,
            Self::Srv(..) => TYPE_SRV,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::A(address) => address.octets().to_vec(),
            Self::Srv(priority, weight, port, target) => {
                let mut data = Vec::new();
                for number in [priority, weight, port] {
                    data.extend(number.to_be_bytes());
                }
                write_name(&mut data, target);
                data
            }
        }
    }
}

fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).into_owned());
        at += length;
    }
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap_or(63));
        out.extend(label.bytes());
    }
    out.push(0);
}
