//! What writing asks of a bucket.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use lazarr_format::Code;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, PutMode, PutOptions, UpdateVersion};

use super::cloud::{CloudSource, UNREADABLE, failure};
use super::failure::Failure;
use crate::address::StoreOptions;

/// What became of a value that was put under a condition.
pub(super) enum Put {
    /// It is there, in this state.
    Done(UpdateVersion),
    /// Another is.
    Taken,
}

/// A small value, with its state and when that was made: seconds of Unix time.
pub(super) struct Stated {
    pub(super) bytes: Bytes,
    pub(super) version: UpdateVersion,
    pub(super) changed: i64,
}

impl CloudSource {
    /// One try to put a value.
    pub(super) async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        mode: PutMode,
        options: &StoreOptions,
    ) -> Result<Put, Failure> {
        let path = self.path(key)?;
        let fresh = matches!(mode, PutMode::Create);
        let with = |mode| PutOptions { mode, ..PutOptions::default() };
        let mut done = self.store.put_opts(&path, bytes.clone().into(), with(mode)).await;
        if let Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) = &done {
            // A store that knows no conditions is looked at first.
            if fresh && self.size(key, options).await?.is_some() {
                return Ok(Put::Taken);
            }
            done = self.store.put_opts(&path, bytes.into(), with(PutMode::Overwrite)).await;
        }
        match done {
            Ok(state) => Ok(Put::Done(state.into())),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Taken),
            Err(e) => Err(unwritten(&e, options)),
        }
    }

    /// A small value with its state.
    pub(super) async fn stated(&self, key: &str, options: &StoreOptions) -> Result<Option<Stated>, Failure> {
        let found = match self.store.get_opts(&self.path(key)?, GetOptions::default()).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failure(&e, options)),
        };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let changed = found.meta.last_modified.timestamp();
        let bytes = found.bytes().await.map_err(|e| failure(&e, options))?;
        Ok(Some(Stated { bytes, version, changed }))
    }

    /// The keys behind `after` that are `wanted`, at most so many; and where to go on, if there may be more.
    pub(super) async fn keys(
        &self,
        after: Option<&Path>,
        wanted: &(dyn Fn(&str) -> bool + Sync),
        most: usize,
        options: &StoreOptions,
    ) -> Result<(Vec<Path>, Option<Path>), Failure> {
        let prefix = self.path("")?;
        let mut list = match after {
            Some(after) => self.store.list_with_offset(Some(&prefix), after),
            None => self.store.list(Some(&prefix)),
        };
        let inside = if self.folder.is_empty() { String::new() } else { format!("{}/", self.folder) };
        let mut found = Vec::new();
        while let Some(object) = list.next().await {
            let path = object.map_err(|e| failure(&e, options))?.location;
            if path.as_ref().strip_prefix(&inside).is_some_and(wanted) {
                found.push(path);
            }
            if found.len() >= most {
                let last = found.last().cloned();
                return Ok((found, last));
            }
        }
        Ok((found, None))
    }

    /// The keys below a key, from there on, and their bytes.
    pub(super) async fn below(
        &self,
        key: &str,
        options: &StoreOptions,
    ) -> Result<Vec<(String, u64)>, Failure> {
        let prefix = self.path(key)?;
        let inside = if prefix.as_ref().is_empty() { String::new() } else { format!("{prefix}/") };
        let mut list = self.store.list(Some(&prefix));
        let mut found = Vec::new();
        while let Some(object) = list.next().await {
            let object = object.map_err(|e| failure(&e, options))?;
            if let Some(name) = object.location.as_ref().strip_prefix(&inside) {
                found.push((name.to_owned(), object.size));
            }
        }
        Ok(found)
    }

    /// Takes these away; those that are not there are no error.
    pub(super) async fn delete(&self, paths: Vec<Path>, options: &StoreOptions) -> Result<(), Failure> {
        let mut done = self.store.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(one) = done.next().await {
            match one {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(e) => return Err(unwritten(&e, options)),
            }
        }
        Ok(())
    }
}

/// What `object_store` says of a write.
pub(super) fn unwritten(e: &Error, options: &StoreOptions) -> Failure {
    let failure = failure(e, options);
    match failure.code {
        Code::Forbidden => Failure {
            what: "the store does not allow this write".to_owned(),
            help: Some(
                "Give credentials that may read, list, write and delete (storage_options, or the environment)",
            ),
            ..failure
        },
        Code::StoreIo if failure.what == UNREADABLE => Failure {
            code: Code::WriteIo,
            what: "the object store cannot be written".to_owned(),
            help: Some("Check the URL, the region, the endpoint and the credentials (storage_options)"),
            ..failure
        },
        Code::StoreIo => Failure { code: Code::WriteIo, ..failure },
        _ => failure,
    }
}
