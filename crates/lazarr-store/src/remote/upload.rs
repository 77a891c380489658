//! One value on its way into a bucket: small ones by one put, larger ones in parts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lazarr_format::{Code, Error, Result};
use object_store::MultipartId;
use object_store::multipart::PartId;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::far::{Far, clear_up};
use super::put::unwritten;
use crate::draft::ValueWriter;

/// Bytes of a part; some stores want all parts but the last to be alike, S3 at least 5 MiB.
pub(super) const PART: usize = 8 << 20;
/// Either half of giving an upload up takes no longer.
const ABORT: Duration = Duration::from_secs(5);

pub(super) struct Value {
    far: Arc<Far>,
    key: String,
    /// What is not sent yet: at most a part.
    bytes: Vec<u8>,
    upload: Option<Upload>,
}

/// A value that is sent in parts.
struct Upload {
    id: MultipartId,
    /// Those on their way, and those that are there.
    parts: Vec<oneshot::Receiver<Result<PartId>>>,
    done: Vec<PartId>,
    total: u64,
}

impl Value {
    pub(super) fn new(far: Arc<Far>, key: &str) -> Self {
        Self { far, key: key.to_owned(), bytes: Vec::new(), upload: None }
    }

    /// Sends what is there as a part.
    fn send_part(&mut self) -> Result<()> {
        self.far.check()?;
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let (far, key) = (self.far.clone(), self.key.clone());
        let path = far.cloud.path(&key).map_err(|failure| failure.into_error(&key, 1))?;
        let options = far.remote.options.clone();
        let mut upload = if let Some(upload) = self.upload.take() {
            upload
        } else {
            far.mark(&key);
            let begin = || async {
                far.cloud.parts.create_multipart(&path).await.map_err(|e| unwritten(&e, &options))
            };
            let id = far.wait(far.remote.repeat(&key, begin))?;
            Upload { id, parts: Vec::new(), done: Vec::new(), total: 0 }
        };
        let (index, id, len) = (upload.done.len() + upload.parts.len(), upload.id.clone(), bytes.len());
        upload.total += len as u64;
        let (tell, part) = oneshot::channel();
        upload.parts.push(part);
        // Kept in any case: who is dropped gives it up.
        let upload = self.upload.insert(upload);
        let slot = far.slot(len)?;
        let beside = far.clone();
        beside.spawn(async move {
            let act = || async {
                let payload = bytes.clone().into();
                let put = far.cloud.parts.put_part(&path, &id, index, payload).await;
                put.map_err(|e| unwritten(&e, &options))
            };
            let done = far.remote.repeat_for(&key, len as u64, act).await;
            let _ = tell.send(done);
            drop(slot);
        })?;
        upload.settle(&self.far, false)
    }
}

impl Upload {
    /// Takes note of the parts that are there; with `all`, waits for the others.
    fn settle(&mut self, far: &Far, all: bool) -> Result<()> {
        let mut waiting = Vec::new();
        let gone = |_| Error::new(Code::WriteIo, "a part of the value was not sent");
        for mut part in std::mem::take(&mut self.parts) {
            // In order: what is behind one that is on its way waits, too.
            if !waiting.is_empty() {
                waiting.push(part);
                continue;
            }
            match part.try_recv() {
                Ok(done) => self.done.push(done?),
                Err(oneshot::error::TryRecvError::Empty) if !all => waiting.push(part),
                Err(_) => self.done.push(far.wait(async { part.await.map_err(gone)? })?),
            }
        }
        self.parts = waiting;
        Ok(())
    }
}

impl ValueWriter for Value {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.bytes.len() == PART {
                self.send_part()?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART - self.bytes.len()));
            self.bytes.try_reserve(now.len()).map_err(|e| {
                Error::new(Code::OutOfMemory, "there is no memory for a part of a value").source(e)
            })?;
            self.bytes.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.upload.is_some() {
            self.send_part()?;
        }
        let (far, key) = (self.far.clone(), self.key.clone());
        if let Some(upload) = &mut self.upload {
            upload.settle(&far, true)?;
            let path = far.cloud.path(&key).map_err(|failure| failure.into_error(&key, 1))?;
            let options = &far.remote.options;
            let act = || async {
                let parts = upload.done.clone();
                match far.cloud.parts.complete_multipart(&path, &upload.id, parts).await {
                    Ok(_) => Ok(()),
                    // A try before may have gone well, and its answer was lost.
                    Err(object_store::Error::NotFound { .. })
                        if far.cloud.size(&key, options).await? == Some(upload.total) =>
                    {
                        Ok(())
                    }
                    Err(e) => Err(unwritten(&e, options)),
                }
            };
            far.wait(far.remote.repeat(&key, act))?;
            self.upload = None;
            return Ok(());
        }
        far.check()?;
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let slot = far.slot(bytes.len())?;
        far.mark(&key);
        let beside = far.clone();
        beside
            .spawn(async move {
                if let Err(e) = far.put(&key, bytes).await {
                    far.fail(e);
                }
                drop(slot);
            })
            .map(drop)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        let Ok(path) = self.far.cloud.path(&self.key) else { return };
        let far = self.far.clone();
        clear_up(&self.far.halt, async move {
            // Parts that come later would stay.
            let parts = async {
                for part in upload.parts {
                    let _ = part.await;
                }
            };
            let _ = timeout(ABORT, parts).await;
            let _ = timeout(ABORT, far.cloud.parts.abort_multipart(&path, &upload.id)).await;
        });
    }
}
