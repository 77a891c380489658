//! The word to stop waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lazarr_format::{Code, Error, Result};

/// Tells a draft that nobody waits for it any more: what waits for a network ends with `Interrupted`. Clones are one word.
#[derive(Debug, Clone, Default)]
pub struct Halt(Arc<AtomicBool>);

impl Halt {
    /// Says it.
    pub fn tell(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether it was said.
    pub fn is_told(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// An error, where it was said.
    pub fn check(&self) -> Result<()> {
        if self.is_told() { Err(Error::new(Code::Interrupted, "the write was stopped")) } else { Ok(()) }
    }
}
