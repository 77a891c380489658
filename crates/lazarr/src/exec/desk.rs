//! What a thread works with, handed on from call to call.
//!
//! Threads end with their call, but memory that was just made and given back costs more to make again than many a small
//! read does. So a little of it is kept, for all calls of the process: it is there before a call begins, and no call
//! grows the process by it.

use std::sync::{Mutex, MutexGuard, TryLockError};

use lazarr_format::codec::Scratch;

/// Buffers whose contents mean nothing.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) scratch: Scratch,
    pub(super) encoded: Vec<u8>,
    pub(super) decoded: Vec<u8>,
}

/// At most so many bytes are kept.
const KEPT: u64 = 8 << 20;
/// And so many desks.
const DESKS: usize = 32;

static IDLE: Mutex<Vec<Desk>> = Mutex::new(Vec::new());

/// `None` where another thread has it, which may not exist any more: after a fork.
fn idle() -> Option<MutexGuard<'static, Vec<Desk>>> {
    match IDLE.try_lock() {
        Ok(idle) => Some(idle),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Desk {
    /// One that is left, or a new one.
    pub(super) fn take() -> Self {
        idle().and_then(|mut idle| idle.pop()).unwrap_or_default()
    }

    /// Leaves it for others, where there is room.
    pub(super) fn leave(self) {
        let Some(mut idle) = idle() else { return };
        let kept: u64 = idle.iter().map(Desk::bytes).sum();
        if idle.len() < DESKS && kept.saturating_add(self.bytes()) <= KEPT {
            idle.push(self);
        }
    }

    fn bytes(&self) -> u64 {
        self.scratch.held_bytes() + (self.encoded.capacity() + self.decoded.capacity()) as u64
    }
}
