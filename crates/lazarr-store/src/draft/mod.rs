//! Where a store is written before it is one.
//!
//! A [`Draft`] takes values under keys. Nothing of it is visible under the name of the store until [`Draft::publish`], which
//! puts the whole there at once; a draft that is dropped before is taken away. [`LocalDraft`] is a directory beside the
//! store, [`MemoryDraft`] a map.

mod edit;
mod fault;
mod halt;
mod journal;
mod local;
mod lock;
mod memory;
mod recover;
mod scratch;

use std::fmt::Debug;

use lazarr_format::Result;

pub use fault::{Fault, Op};
pub use halt::Halt;
pub use journal::{Journal, Points, Request};
#[cfg(feature = "remote")]
pub(crate) use journal::{line, lines};
pub use local::{DraftOptions, LocalDraft};
pub use memory::MemoryDraft;
pub use recover::{Left, leftovers, recover, repair};
pub use scratch::Scratch;

/// A store that is being written. Keys are as in [`Store`](crate::Store).
pub trait Draft: Send + Sync + Debug {
    /// A new value, written from its start to its end. A key is written once.
    fn create(&self, key: &str) -> Result<Box<dyn ValueWriter>>;

    /// A whole value.
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let mut value = self.create(key)?;
        value.write(bytes)?;
        value.finish()
    }

    /// Takes away what an edited store, or one that was begun before, has under this key and below it. A new store has nothing.
    fn clear(&self, _key: &str) -> Result<()> {
        Ok(())
    }

    /// Bytes that can still be written; `None` where nobody knows.
    fn room(&self) -> Option<u64> {
        None
    }

    /// Bytes of memory that each value under way may hold, and that all hold together when they are sent.
    fn holds(&self) -> [u64; 2] {
        [0, 0]
    }

    /// Room on a disk for what does not fit into memory meanwhile: by default in the system's folder for such files.
    fn scratch(&self) -> Result<Scratch> {
        Scratch::begin(&std::env::temp_dir(), &Fault::default())
    }

    /// What is noted for a later writer, where one could go on with this draft.
    fn journal(&self) -> Option<&dyn Journal> {
        None
    }

    /// Puts the whole where the store is to be. Everything was written before.
    fn publish(&mut self) -> Result<()>;
}

/// A value under way.
pub trait ValueWriter: Send {
    /// The next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// What was written so far is safe on its medium when this returns, where the draft has a [`Journal`].
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    /// There are no more; the value is safe on its medium when this returns.
    fn finish(self: Box<Self>) -> Result<()>;
}
