//! The parent's side of a compilation in a child process, and why one can fail.

use crate::plugin::code::compiler::CompileChild;
use crate::plugin::code::labour::{self, LABEL};
use crate::plugin::code::seal::{KEY_SIZE, SealKey};
use crate::plugin::component::fault::LoadFault;
use crate::plugin::offer::log_gate::tame;
use crate::plugin::status::Reason;
use rustix::process::Signal;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Bytes of native code that are taken from a child.
const CODE_MAX: u64 = 512 << 20;
/// Bytes of what it says that are read.
const WORDS_MAX: u64 = 16 << 10;
/// What the standard library says before it aborts for want of memory.
const NO_MEMORY: &str = "memory allocation of ";

/// Why there is no code.
#[derive(Debug)]
pub(in crate::plugin) enum ChildFault {
    /// No process could be started, which says nothing about the component.
    NotStarted(io::Error),
    /// It was started.
    Failed(LoadFault),
}

/// Native code as the child has sealed it, and the key of that seal.
pub(in crate::plugin) struct Sealed {
    /// Code and trailer.
    pub bytes: Vec<u8>,
    /// How much of it is code.
    pub length: usize,
    /// Drawn for this compilation only.
    pub key: SealKey,
}

impl Sealed {
    pub(in crate::plugin) fn code(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Has a component compiled. The child ends with the future.
///
/// # Errors
/// With a reason for every way in which a child can end.
pub(in crate::plugin) async fn compile(
    orders: &CompileChild,
    component: &[u8],
) -> Result<Sealed, ChildFault> {
    let no_key = |_| ChildFault::NotStarted(io::Error::other("the system gives no random bytes"));
    let key = SealKey::draw().map_err(no_key)?;
    let mut child = start(orders).map_err(ChildFault::NotStarted)?;
    let ended = tokio::time::timeout(orders.limits.wall, converse(&mut child, &key, component)).await;
    let Ok(ended) = ended else {
        child.kill().await.ok();
        let text = format!("compiling it was not over after {} s", orders.limits.wall.as_secs());
        return Err(ChildFault::Failed(LoadFault::new(Reason::CompileTimeout, text)));
    };
    let failed = |text: String| ChildFault::Failed(LoadFault::new(Reason::CompileFailed, text));
    let Ended { status, output, words } =
        ended.map_err(|error| failed(format!("the compiler cannot be talked to: {error}")))?;
    if !status.success() {
        return Err(ChildFault::Failed(explain(status, &words, orders)));
    }
    let key = SealKey::new(&key);
    let length = key.check(LABEL, output.as_slice(), output.len() as u64).map_err(|error| {
        failed(format!("the compiler answered with {} bytes that are no native code: {error}", output.len()))
    })?;
    Ok(Sealed { bytes: output, length: usize::try_from(length).unwrap_or_default(), key })
}

fn start(orders: &CompileChild) -> io::Result<Child> {
    let mut command = Command::new(&orders.program);
    command.args(&orders.arguments);
    command.arg(format!("--memory={}", orders.limits.memory));
    command.arg(format!("--cpu={}", orders.limits.cpu.as_secs()));
    command.arg0("umbel").env_clear().env("RAYON_NUM_THREADS", "2").current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn()
}

struct Ended {
    status: ExitStatus,
    output: Vec<u8>,
    words: String,
}

/// Writes and reads at once: a child that does not listen or talks too early would wait for ever otherwise.
async fn converse(child: &mut Child, key: &[u8; KEY_SIZE], component: &[u8]) -> io::Result<Ended> {
    let (input, output, words) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let send = async {
        if let Some(mut input) = input {
            // A child that has ended reads nothing; how it ended says more.
            if input.write_all(key).await.is_ok() {
                input.write_all(component).await.ok();
            }
        }
    };
    let ((), output, words) = tokio::join!(send, collect(output, CODE_MAX), collect(words, WORDS_MAX));
    Ok(Ended { status: child.wait().await?, output: output?, words: tame(&String::from_utf8_lossy(&words?)) })
}

async fn collect(from: Option<impl AsyncRead + Unpin>, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(max).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn explain(status: ExitStatus, words: &str, orders: &CompileChild) -> LoadFault {
    let reason = status.code().and_then(labour::reason_of);
    // The compiler may notice it, or the language that it is written in.
    if reason == Some(Reason::CompileMemory) || words.contains(NO_MEMORY) {
        let text = format!("compiling it takes more than {} MiB of memory", orders.limits.memory >> 20);
        return LoadFault::new(Reason::CompileMemory, text);
    }
    if let Some(reason) = reason {
        return LoadFault::new(reason, words.trim());
    }
    let said = if words.trim().is_empty() { "it said nothing".to_owned() } else { words.trim().to_owned() };
    match status.signal() {
        Some(signal) if signal == Signal::XCPU.as_raw() => {
            let text = format!("compiling it takes more than {} s of computing", orders.limits.cpu.as_secs());
            LoadFault::new(Reason::CompileTimeout, text)
        }
        Some(signal) if signal == Signal::KILL.as_raw() => LoadFault::new(
            Reason::CompileFailed,
            "the compiler was killed from outside (signal 9); the kernel does that where memory is short",
        ),
        Some(signal) => {
            LoadFault::new(Reason::CompileFailed, format!("the compiler died of signal {signal}: {said}"))
        }
        None => LoadFault::new(Reason::CompileFailed, format!("the compiler ended with {status}: {said}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::code::compiler::CompileLimits;
    use std::time::Duration;

    async fn compile_with(script: &str, wall: Duration) -> ChildFault {
        let orders = CompileChild {
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            limits: CompileLimits { wall, ..CompileLimits::default() },
        };
        compile(&orders, &vec![0; 1 << 20]).await.err().unwrap()
    }

    /// Every way to die has its reason, whether or not the child listens.
    #[tokio::test]
    async fn compile_child_dies() {
        for (script, reason, says) in [
            ("echo bad byte >&2; exit 3", Reason::InvalidWasm, "bad byte"),
            ("echo threads >&2; exit 4", Reason::UnsupportedFeature, "threads"),
            ("ulimit -S -t 1; while :; do :; done", Reason::CompileTimeout, "60 s of computing"),
            (
                "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$",
                Reason::CompileMemory,
                "1024 MiB",
            ),
            ("kill -KILL $$", Reason::CompileFailed, "killed from outside"),
            ("cat > /dev/null; echo oh >&2; kill -SEGV $$", Reason::CompileFailed, "died of signal 11: oh"),
            ("exit 7", Reason::CompileFailed, "exit status: 7: it said nothing"),
            ("exit 0", Reason::CompileFailed, "0 bytes that are no native code"),
            ("head -c 300000 /dev/zero", Reason::CompileFailed, "300000 bytes that are no native code"),
            ("cat", Reason::CompileFailed, "1048608 bytes that are no native code"),
            ("exec head -c 9999999 /dev/zero >&2", Reason::CompileFailed, "died of signal 13"),
        ] {
            let ChildFault::Failed(fault) = compile_with(script, Duration::from_secs(120)).await else {
                panic!("{script} was not started")
            };
            assert_eq!(fault.reason, reason, "{script}: {fault}");
            assert!(fault.message.contains(says), "{script}: {fault}");
        }
    }

    #[tokio::test]
    async fn a_child_that_hangs_is_ended() {
        let ChildFault::Failed(fault) = compile_with("exec sleep 600", Duration::from_millis(300)).await
        else {
            panic!("it was not started")
        };
        assert_eq!(fault.reason, Reason::CompileTimeout);
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_started_says_nothing_about_the_component() {
        let orders = CompileChild {
            program: "/nowhere/umbel".into(),
            arguments: Vec::new(),
            limits: CompileLimits::default(),
        };
        assert!(matches!(compile(&orders, b"").await, Err(ChildFault::NotStarted(_))));
    }
}
