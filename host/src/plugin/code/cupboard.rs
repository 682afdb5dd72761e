//! Where native code is kept: opened when that can be, and again when somebody has put another directory there.

use crate::plugin::code::cache::Cache;
use crate::plugin::code::maker::Maker;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long another thread may be at opening it before plugins are loaded without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The place of a cache, whether or not there is one now. Without it plugins serve all the same, only later.
#[derive(Debug)]
pub(in crate::plugin) struct Cupboard {
    path: PathBuf,
    plugin_dir: PathBuf,
    maker: Maker,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    cache: Option<Arc<Cache>>,
    /// The last complaint, so that it is told once.
    told: String,
}

impl Cupboard {
    /// A place that must not lie in `plugin_dir`.
    pub(in crate::plugin) fn new(path: PathBuf, plugin_dir: PathBuf, maker: Maker) -> Self {
        Self { path, plugin_dir, maker, open: Mutex::default() }
    }

    /// What is there, where it can be used.
    pub(in crate::plugin) fn open(&self) -> Option<Arc<Cache>> {
        // Whoever holds it may hang in the kernel.
        let mut open = self.open.try_lock_for(PATIENCE)?;
        if let Some(cache) = open.cache.as_ref().filter(|cache| cache.is_at(&self.path)) {
            return Some(Arc::clone(cache));
        }
        match Cache::open(&self.path, &self.plugin_dir, self.maker.clone()) {
            Ok(cache) => {
                cache.sweep(SystemTime::now());
                *open = Open { cache: Some(Arc::new(cache)), told: String::new() };
            }
            Err(cause) => {
                let cause = cause.to_string();
                if open.told != cause {
                    tracing::warn!(
                        cause,
                        "native code of plugins is not kept; every start compiles all of them"
                    );
                }
                *open = Open { cache: None, told: cause };
            }
        }
        open.cache.clone()
    }
}
