//! Moves the engine's epoch while guests run, so that none can compute without end.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::{Engine, EngineWeak};

/// How often a running guest is looked at; the grain of CPU budgets.
pub(in crate::plugin) const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct State {
    running: usize,
    stopped: bool,
}

/// The thread that ticks. It sleeps while no guest runs, so that an idle gateway costs nothing.
#[derive(Debug)]
pub(in crate::plugin) struct Ticker {
    state: Mutex<State>,
    changed: Condvar,
}

/// Held while a guest runs.
#[derive(Debug)]
pub(in crate::plugin) struct Running(Arc<Ticker>);

impl Ticker {
    pub(in crate::plugin) fn start(engine: &Engine) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let (weak, own) = (engine.weak(), Arc::clone(&ticker));
        std::thread::Builder::new().name("plugin-ticker".to_owned()).spawn(move || own.tick(&weak))?;
        Ok(ticker)
    }

    pub(in crate::plugin) fn running(self: &Arc<Self>) -> Running {
        let mut state = self.state.lock();
        state.running += 1;
        if state.running == 1 {
            self.changed.notify_one();
        }
        Running(Arc::clone(self))
    }

    pub(in crate::plugin) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    fn tick(&self, engine: &EngineWeak) {
        loop {
            {
                let mut state = self.state.lock();
                while state.running == 0 && !state.stopped {
                    self.changed.wait(&mut state);
                }
                if state.stopped {
                    return;
                }
            }
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
    }
}
