//! One measurement: the memory of a gateway before, during and after something.

use anyhow::{Result, ensure};
use std::fmt;
use std::time::Duration;
use umbel_tests::{Client, Memory, Umbel};

/// No wait may take longer; the numbers are measured, not limited.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// When the memory is read that should have been released.
const AFTER: Duration = Duration::from_secs(10);

/// Time for the gateway to come to rest before a measurement, longer than freed pages stay with the process.
const REST: Duration = Duration::from_secs(3);

/// One line of the table.
pub(super) struct Row {
    input: String,
    start: Memory,
    peak: u64,
    held: Option<Memory>,
    after: Memory,
    found: String,
    limit: &'static str,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, start, peak, held, after, found, limit } = self;
        let (start, peak, after) = (shown(*start), mib(*peak), shown(*after));
        let held = held.map_or_else(|| "–".to_owned(), shown);
        write!(f, "| {input} | {start} | {peak} | {held} | {after} | {found} | {limit} |")
    }
}

/// A gateway under measurement.
pub(super) struct Run {
    pub(super) umbel: Umbel,
    pub(super) admin: Client,
    start: Memory,
    held: Option<Memory>,
}

impl Run {
    /// Starts a gateway with these flags and warms it up.
    pub(super) async fn start(flags: &[&str]) -> Result<Self> {
        let umbel = Umbel::start_with(flags).await?;
        let (admin, anonymous) = (umbel.admin()?, umbel.anonymous()?);
        for _ in 0..20 {
            anonymous.get("/version").await?.expect(200)?;
            admin.get("/apis/apiregistration.k8s.io/v1/apiservices").await?.expect(200)?;
        }
        Ok(Self { umbel, admin, start: Memory::default(), held: None })
    }

    /// Reads the memory at the start, from which the peak counts.
    pub(super) async fn begin(&mut self) -> Result<()> {
        tokio::time::sleep(REST).await;
        Memory::reset_peak(self.umbel.process().id())?;
        self.start = self.memory()?;
        Ok(())
    }

    /// Reads the memory while the load is held, after some rest; what it grew by.
    pub(super) async fn hold(&mut self) -> Result<u64> {
        tokio::time::sleep(REST).await;
        self.hold_now()
    }

    /// The same without rest.
    pub(super) fn hold_now(&mut self) -> Result<u64> {
        let held = self.memory()?;
        self.held = Some(held);
        Ok(held.resident.saturating_sub(self.start.resident))
    }

    /// How far the peak is above the start.
    pub(super) fn grown(&mut self) -> Result<u64> {
        Ok(self.memory()?.peak.saturating_sub(self.start.resident))
    }

    /// Waits, reads the rest, and checks that the gateway still serves.
    pub(super) async fn end(mut self, input: String, found: String, limit: &'static str) -> Result<Row> {
        tokio::time::sleep(AFTER).await;
        let after = self.memory()?;
        let panics = metric(&self.admin, "umbel_panics_total").await?;
        ensure!(panics == Some(0), "{panics:?} panics:\n{}", self.umbel.log());
        let row = Row { input, start: self.start, peak: after.peak, held: self.held, after, found, limit };
        eprintln!("{row}");
        Ok(row)
    }

    fn memory(&mut self) -> Result<Memory> {
        self.umbel.process().check_alive()?;
        Memory::of(self.umbel.process().id())
    }
}

async fn metric(client: &Client, name: &str) -> Result<Option<u64>> {
    let text = client.get("/metrics").await?.text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.map(str::parse).transpose()?)
}

/// Bytes as MiB.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

pub(super) fn print_table(rows: &[Row]) {
    println!("| input | start | peak | held | 10 s after the end | found | limit |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        println!("{row}");
    }
    println!("\nMemory is VmRSS (PSS); the peak is VmHWM.\n");
}

fn shown(memory: Memory) -> String {
    format!("{} ({})", mib(memory.resident), mib(memory.proportional))
}
