//! The memory ledger: every buffer is charged before it is allocated.
//!
//! One ledger a process, shared by concurrent calls. A [`Budget`] is a limit on that ledger; a [`Charge`] gives its
//! bytes back when it is dropped. Results that were handed out do not count: their charge is dropped with the hand-over.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use lazarr_format::{Code, Error, Result};
use lazarr_plan::human_bytes;
use lazarr_store::Meter;

/// Counts the bytes that are charged now.
#[derive(Debug, Default)]
pub struct Ledger {
    used: AtomicU64,
}

impl Ledger {
    /// The ledger of this process.
    pub fn process() -> Arc<Self> {
        static PROCESS: OnceLock<Arc<Ledger>> = OnceLock::new();
        PROCESS.get_or_init(Arc::default).clone()
    }

    /// Bytes charged now.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }
}

/// A limit on a ledger, and the meter that sees its peak.
#[derive(Debug, Clone)]
pub struct Budget {
    ledger: Arc<Ledger>,
    limit: u64,
    meter: Arc<Meter>,
}

impl Budget {
    /// At most `limit` bytes may be charged to `ledger` when this budget charges more.
    pub fn new(ledger: Arc<Ledger>, limit: u64, meter: Arc<Meter>) -> Self {
        Self { ledger, limit, meter }
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that can still be charged.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.ledger.used())
    }

    /// Charges bytes, or says what would have been needed.
    pub fn charge(&self, bytes: u64, what: &str) -> Result<Charge> {
        let mut charge = self.open();
        charge.grow(bytes, what)?;
        Ok(charge)
    }

    /// A charge of nothing, to be grown.
    pub fn open(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: u64, what: &str) -> Result<()> {
        let taken = self.ledger.used.fetch_update(Relaxed, Relaxed, |used| {
            let after = used.checked_add(bytes)?;
            (after <= self.limit).then_some(after)
        });
        match taken {
            Ok(before) => {
                self.meter.see_ledger(before + bytes);
                Ok(())
            }
            Err(used) => Err(self.refusal(bytes, used, used.saturating_add(bytes), what)),
        }
    }

    /// The error of what needs `bytes` while `used` are in use: a limit of `enough` would do.
    pub(crate) fn refusal(&self, bytes: u64, used: u64, enough: u64, what: &str) -> Error {
        // Rounded up as it is shown: what the error says is enough.
        let shown = enough.saturating_add(enough / 16);
        Error::new(Code::MemoryLimit, format!("{what} does not fit into the memory limit"))
            .expected(format!("at most {} in all", human_bytes(self.limit)))
            .found(format!("{} needed while {} are in use", human_bytes(bytes), human_bytes(used)))
            .help(format!(
                "Raise memory_limit to {} or more, select less, or stream with iter_rows()",
                human_bytes(shown)
            ))
    }
}

/// Bytes that are charged until this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Charge {
    /// Charges more.
    pub fn grow(&mut self, bytes: u64, what: &str) -> Result<()> {
        self.budget.take(bytes, what)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Makes the charge at least this large.
    pub fn grow_to(&mut self, bytes: u64, what: &str) -> Result<()> {
        if bytes > self.bytes { self.grow(bytes - self.bytes, what) } else { Ok(()) }
    }

    /// Gives back what is above this.
    pub fn shrink_to(&mut self, bytes: u64) {
        let over = self.bytes.saturating_sub(bytes);
        self.bytes -= over;
        self.budget.ledger.used.fetch_sub(over, Relaxed);
    }

    /// Takes over the bytes of another charge on the same ledger.
    pub fn absorb(&mut self, mut other: Charge) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// The bytes charged.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.ledger.used.fetch_sub(self.bytes, Relaxed);
    }
}
