//! Where the bytes are.
//!
//! A [`Store`] maps keys to bytes and byte ranges and knows nothing of Zarr. [`LocalStore`] is a directory,
//! [`MemoryStore`] a map, [`ZipStore`] an archive that is a value of another store, `RemoteStore` (feature `remote`) a
//! bucket or a folder of a web server. Everything is read through [`Io`], the one door: it counts what passes ([`Meter`]) and, where
//! asked, refuses what no plan has named ([`Audit`]).
//!
//! The way in is [`draft`]: a store is written beside its place, and put there at once.
//!
//! ```
//! use std::sync::Arc;
//! use lazarr_store::{ByteRange, Io, MemoryStore};
//! let mut store = MemoryStore::default();
//! store.insert("X/data/c/0", b"hello".to_vec());
//! let io = Io::new(Arc::new(store));
//! let mut out = Vec::new();
//! io.get("X/data/c/0", &ByteRange::Suffix(2), &mut |_| Ok(()), &mut out)?;
//! assert_eq!(out, b"lo");
//! assert_eq!(io.meter().requests(), 1);
//! # Ok::<(), lazarr_format::Error>(())
//! ```

mod address;
#[cfg(unix)]
pub mod draft;
mod io;
mod joined;
mod local;
mod memory;
mod meter;
mod pread;
#[cfg(feature = "remote")]
mod remote;
mod store;
mod zip;

pub use address::{StoreOptions, archive, redacted, scheme};
pub use io::Io;
pub use joined::{JoinedStore, Mount};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use meter::{Audit, Meter};
#[cfg(feature = "remote")]
pub use remote::RemoteStore;
#[cfg(all(feature = "remote", unix))]
pub use remote::{RemoteDraft, is_clearing};
pub use store::{ByteRange, Found, Listing, Profile, Reserve, Store, Version};
pub use zip::{ZipLimits, ZipStore};
