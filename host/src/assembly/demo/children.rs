//! The demo's processes: the gateway and two sample API servers. They end with the demo, however it ends.

use super::DemoError;
use super::kinds::Sample;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running process. Killed when dropped; its standard input is a pipe whose end it notices, should the
/// demo be killed itself.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts this program with other arguments; what it says goes to `log`.
    fn start(arguments: &[String], log: &Path) -> Result<Self, DemoError> {
        let program = std::env::current_exe().map_err(DemoError::new)?;
        let out = File::options().create(true).append(true).open(log).map_err(DemoError::new)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().map_err(DemoError::new)?)
            .stderr(out)
            // Ctrl-C reaches the whole foreground group; the demo alone decides when its children end.
            .process_group(0)
            .spawn()
            .map_err(DemoError::new)?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// The last lines of its log.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.kill().ok();
    }
}

/// The gateway's process.
pub(super) fn start_gateway(home: &Path) -> Result<Running, DemoError> {
    let data_dir = home.join("data").display().to_string();
    let arguments = ["demo-gateway", "--data-dir", &data_dir, "--listen", "127.0.0.1:0"];
    Running::start(&arguments.map(str::to_owned), &home.join("gateway.log"))
}

/// A sample API server and how it is started.
#[derive(Debug)]
pub(super) struct SampleServer {
    pub(super) sample: Sample,
    pub(super) port: u16,
    pub(super) process: Running,
    home: PathBuf,
}

impl SampleServer {
    pub(super) fn start(sample: Sample, port: u16, home: &Path) -> Result<Self, DemoError> {
        let process = launch(sample, port, home)?;
        Ok(Self { sample, port, process, home: home.to_owned() })
    }

    /// Starts it again after a kill, on the same port.
    pub(super) fn restart(&mut self) -> Result<(), DemoError> {
        self.process = launch(self.sample, self.port, &self.home)?;
        Ok(())
    }

    /// The command that starts it by hand.
    pub(super) fn command_line(&self) -> String {
        let program =
            std::env::current_exe().map_or_else(|_| "umbel".into(), |path| path.display().to_string());
        format!("{program} {}", arguments(self.sample, self.port, &self.home).join(" "))
    }
}

fn arguments(sample: Sample, port: u16, home: &Path) -> Vec<String> {
    let directory = backend_directory(home, sample).display().to_string();
    ["demo-backend", "--sample", sample.name(), "--port", &port.to_string(), "--directory", &directory]
        .map(str::to_owned)
        .into()
}

fn launch(sample: Sample, port: u16, home: &Path) -> Result<Running, DemoError> {
    let mut arguments = arguments(sample, port, home);
    arguments.push("--until-stdin-ends".to_owned());
    Running::start(&arguments, &home.join(format!("{}.log", sample.name())))
}

/// Where the files of a sample's `backend init` lie.
pub(super) fn backend_directory(home: &Path, sample: Sample) -> PathBuf {
    home.join(sample.name())
}

/// Ends this process when its standard input ends: when the demo that holds the other end is gone.
pub(in crate::assembly) fn end_with_stdin() {
    std::thread::spawn(|| {
        let mut ignored = [0; 64];
        while matches!(io::stdin().read(&mut ignored), Ok(count) if count > 0) {}
        std::process::exit(0);
    });
}
