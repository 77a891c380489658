//! Drafts in a bucket in memory.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use lazarr_format::Code;
use object_store::PutMode;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Stored,
};

use super::*;
use crate::draft::Halt;

pub(in super::super) struct Bucket(Arc<InMemory>);

impl Bucket {
    pub(in super::super) fn new() -> Self {
        Self(Arc::new(InMemory::new()))
    }

    fn cloud(&self) -> CloudSource {
        CloudSource::of(self.0.clone(), "a/out.zarr")
    }

    pub(in super::super) fn begin(&self, overwrite: bool) -> Result<RemoteDraft> {
        let options = StoreOptions::new([("region", "nowhere"), ("skip_signature", "true")]);
        RemoteDraft::over(
            RemoteStore::open("s3://bucket/a/out.zarr", &options)?,
            self.cloud(),
            Some(overwrite),
            None,
            &Halt::default(),
        )
    }

    /// A draft that is taken up.
    pub(in super::super) fn resume(&self, overwrite: bool, text: &str) -> Result<RemoteDraft> {
        let options = StoreOptions::new([("region", "nowhere"), ("skip_signature", "true")]);
        let request = Request {
            text: text.to_owned(),
            resume: true,
            differs: |begun, now| {
                if begun == now { Ok(()) } else { Err(Error::new(Code::NotResumed, "another was begun")) }
            },
        };
        let remote = RemoteStore::open("s3://bucket/a/out.zarr", &options)?;
        RemoteDraft::over(remote, self.cloud(), Some(overwrite), Some(request), &Halt::default())
    }

    /// The same, over `Late`.
    pub(in super::super) fn late(&self, overwrite: bool) -> Result<RemoteDraft> {
        self.over(Late { inner: self.0.clone(), loses: false }, Some(overwrite))
    }

    /// A change of the store, and one in which the answer to the last put is lost.
    fn change(&self) -> Result<RemoteDraft> {
        self.over(Late { inner: self.0.clone(), loses: false }, None)
    }

    fn change_unanswered(&self) -> Result<RemoteDraft> {
        self.over(Late { inner: self.0.clone(), loses: true }, None)
    }

    fn over(&self, late: Late, overwrite: Option<bool>) -> Result<RemoteDraft> {
        let options = StoreOptions::new([("region", "nowhere"), ("skip_signature", "true")]);
        let mut cloud = self.cloud();
        cloud.store = Arc::new(late);
        let remote = RemoteStore::open("s3://bucket/a/out.zarr", &options)?;
        RemoteDraft::over(remote, cloud, overwrite, None, &Halt::default())
    }

    pub(in super::super) fn keys(&self) -> Vec<String> {
        let cloud = self.cloud();
        let all = async {
            cloud
                .keys(None, &|_| true, 1 << 20, &StoreOptions::default())
                .await
                .map_err(|f| f.into_error("", 1))
        };
        wait(all).unwrap().0.iter().map(|p| p.as_ref()["a/out.zarr/".len()..].to_owned()).collect()
    }

    pub(in super::super) fn value(&self, key: &str) -> Vec<u8> {
        let cloud = self.cloud();
        let get =
            async { cloud.stated(key, &StoreOptions::default()).await.map_err(|f| f.into_error("", 1)) };
        wait(get).unwrap().unwrap().bytes.to_vec()
    }

    pub(in super::super) fn put(&self, key: &str, bytes: &'static [u8]) {
        let cloud = self.cloud();
        let options = StoreOptions::default();
        let put = async {
            let done = cloud.put(key, bytes.into(), PutMode::Overwrite, &options).await;
            done.map(drop).map_err(|f| f.into_error("", 1))
        };
        wait(put).unwrap();
    }
}

pub(in super::super) fn code<T>(result: Result<T>) -> Code {
    result.map(drop).unwrap_err().code()
}

#[test]
fn root_last() {
    let bucket = Bucket::new();
    let mut draft = bucket.begin(false).unwrap();
    draft.put("X/c/0", b"data").unwrap();
    draft.put("X/zarr.json", b"{}").unwrap();
    draft.put("zarr.json", b"{root}").unwrap();
    wait(draft.far.drain()).unwrap();
    assert_eq!(bucket.keys(), [LOCK, "X/c/0", "X/zarr.json"]);
    draft.publish().unwrap();
    drop(draft);
    assert_eq!(bucket.keys(), ["X/c/0", "X/zarr.json", "zarr.json"]);
    assert_eq!(bucket.value("zarr.json"), b"{root}");
    assert_eq!(code(bucket.begin(false)), Code::StoreExists);
    assert_eq!(bucket.keys(), ["X/c/0", "X/zarr.json", "zarr.json"]);
}

#[test]
fn large_values_come_in_parts() {
    let bucket = Bucket::new();
    let mut draft = bucket.begin(false).unwrap();
    let bytes: Vec<u8> = (0..20_000_000u32).map(|i| (i % 251) as u8).collect();
    let mut value = draft.create("c/0").unwrap();
    for piece in bytes.chunks(3_000_001) {
        value.write(piece).unwrap();
    }
    value.finish().unwrap();
    let mut exact = draft.create("c/1").unwrap();
    exact.write(&bytes[..8 << 20]).unwrap();
    exact.finish().unwrap();
    // One that is not ended leaves nothing.
    let mut open = draft.create("c/2").unwrap();
    open.write(&bytes).unwrap();
    drop(open);
    draft.put("zarr.json", b"{}").unwrap();
    draft.publish().unwrap();
    assert_eq!(bucket.value("c/0"), bytes);
    assert_eq!(bucket.value("c/1"), bytes[..8 << 20]);
    assert_eq!(bucket.keys(), ["c/0", "c/1", "zarr.json"]);
}

#[test]
fn what_is_dropped_is_gone() {
    let bucket = Bucket::new();
    let draft = bucket.begin(false).unwrap();
    draft.put("X/c/0", b"data").unwrap();
    draft.put("X/zarr.json", b"{}").unwrap();
    draft.put("zarr.json", b"{}").unwrap();
    drop(draft);
    assert!(bucket.keys().is_empty());
}

/// A bucket that carries a put out a while after it was asked for, also where nobody waits for the answer; and that lists a
/// folder from which all has gone.
#[derive(Debug)]
struct Late {
    inner: Arc<InMemory>,
    /// Of what replaces a root it says that it is not allowed, and does it.
    loses: bool,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("late")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Late {
    async fn put_opts(&self, to: &Path, bytes: PutPayload, how: PutOptions) -> Stored<PutResult> {
        let (inner, path) = (self.inner.clone(), to.clone());
        let lost = self.loses && matches!(how.mode, PutMode::Update(_)) && to.as_ref().ends_with("zarr.json");
        let later = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            inner.put_opts(&path, bytes, how).await
        });
        let done = later.await.unwrap();
        if lost {
            let (path, source) = (to.to_string(), "no".into());
            return Err(object_store::Error::PermissionDenied { path, source });
        }
        done
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Stored<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, how).await
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Stored<GetResult> {
        self.inner.get_opts(from, how).await
    }

    fn delete_stream(&self, which: BoxStream<'static, Stored<Path>>) -> BoxStream<'static, Stored<Path>> {
        self.inner.delete_stream(which)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Stored<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Stored<ListResult> {
        let mut found = self.inner.list_with_delimiter(prefix).await?;
        found.common_prefixes.extend(prefix.map(|prefix| prefix.clone().join("gone")));
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Stored<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

#[test]
fn what_is_on_its_way_when_it_is_dropped_is_gone() {
    let bucket = Bucket::new();
    let draft = bucket.late(false).unwrap();
    for n in 0..3 {
        draft.put(&format!("X/c/{n}"), b"data").unwrap();
    }
    drop(draft);
    std::thread::sleep(Duration::from_millis(600));
    assert!(bucket.keys().is_empty(), "{:?}", bucket.keys());
}

#[test]
fn folders_from_which_all_has_gone_are_nothing() {
    let bucket = Bucket::new();
    drop(bucket.late(false).unwrap());
    bucket.put("X/thesis.pdf", b"years");
    assert_eq!(code(bucket.late(true)), Code::StoreExists);
}

#[test]
fn one_writer() {
    let bucket = Bucket::new();
    let mut first = bucket.begin(false).unwrap();
    first.put("c/0", b"first").unwrap();
    assert_eq!(code(bucket.begin(false)), Code::Locked);
    assert_eq!(code(bucket.begin(true)), Code::Locked);
    first.put("zarr.json", b"{}").unwrap();
    first.publish().unwrap();
    assert_eq!(bucket.value("c/0"), b"first");
}

#[test]
fn taken_for_dead() {
    let bucket = Bucket::new();
    let mut first = bucket.begin(false).unwrap();
    first.put("c/0", b"first").unwrap();
    wait(first.far.drain()).unwrap();
    // As after a writer that has ended: another takes over.
    bucket.put(LOCK, b"left");
    let mut second = bucket.begin(false).unwrap();
    first.put("zarr.json", b"{first}").unwrap();
    assert_eq!(code(first.publish()), Code::Locked);
    second.put("c/1", b"second").unwrap();
    wait(second.far.drain()).unwrap();
    drop(first);
    second.put("zarr.json", b"{second}").unwrap();
    second.publish().unwrap();
    assert_eq!(bucket.keys(), ["c/1", "zarr.json"]);
}

#[test]
fn overwriting() {
    let bucket = Bucket::new();
    for key in [".zgroup", ".zattrs", ".zmetadata", "old/0", "c/0"] {
        bucket.put(key, b"old");
    }
    // Nothing of the old one goes before something new comes.
    drop(bucket.begin(true).unwrap());
    assert_eq!(bucket.keys().len(), 5);
    let mut draft = bucket.begin(true).unwrap();
    draft.put("c/0", b"new").unwrap();
    wait(draft.far.drain()).unwrap();
    assert_eq!(bucket.keys(), [LOCK, "c/0", "old/0"]);
    draft.put("zarr.json", b"{}").unwrap();
    draft.publish().unwrap();
    assert_eq!(bucket.keys(), ["c/0", "zarr.json"]);
    assert_eq!(bucket.value("c/0"), b"new");
    // One that failed: no store, and the next writer clears.
    let draft = bucket.begin(true).unwrap();
    draft.put("d/0", b"new").unwrap();
    drop(draft);
    assert_eq!(bucket.keys(), [LOCK, "c/0"]);
    let mut draft = bucket.begin(false).unwrap();
    draft.put("e/0", b"new").unwrap();
    draft.put("zarr.json", b"{}").unwrap();
    draft.publish().unwrap();
    assert_eq!(bucket.keys(), ["e/0", "zarr.json"]);
}

#[test]
fn other_things_stay() {
    let bucket = Bucket::new();
    bucket.put("thesis/final.pdf", b"years");
    assert_eq!(code(bucket.begin(true)), Code::StoreExists);
    assert_eq!(bucket.keys(), ["thesis/final.pdf"]);
}

#[test]
fn a_root_that_came_meanwhile_wins() {
    let bucket = Bucket::new();
    let mut draft = bucket.begin(false).unwrap();
    draft.put("c/0", b"data").unwrap();
    bucket.put("zarr.json", b"{other}");
    draft.put("zarr.json", b"{}").unwrap();
    assert_eq!(code(draft.publish()), Code::StoreExists);
    drop(draft);
    assert_eq!(bucket.keys(), ["zarr.json"]);
    assert_eq!(bucket.value("zarr.json"), b"{other}");
}

#[test]
fn addresses() {
    let options = StoreOptions::default();
    for url in ["https://user:hush@host/out.zarr", "s3://bucket/out.zip", "ftp://host/x"] {
        let error = RemoteDraft::begin(url, &options, false, None, &Halt::default()).unwrap_err();
        assert_eq!(error.code(), Code::StoreUrl, "{url}");
        assert!(!error.to_string().contains("hush"));
    }
}

#[test]
fn of_many_at_once_one_begins() {
    let bucket = Bucket::new();
    let begun: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| bucket.begin(false))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(begun.iter().filter(|one| one.is_ok()).count(), 1);
    assert!(begun.iter().filter_map(|one| one.as_ref().err()).all(|e| e.code() == Code::Locked));
}

/// A store of two keys, of which one is changed and one goes.
fn changed(bucket: &Bucket, draft: &mut RemoteDraft) -> Result<()> {
    draft.clear("Y")?;
    draft.put("X/c/0", b"data and more")?;
    draft.put("X/c/1", b"new")?;
    draft.put("Y/0", b"other")?;
    draft.put("Y/zarr.json", b"{y}")?;
    draft.put("zarr.json", b"{earlier}")?;
    draft.put("zarr.json", b"{new}")?;
    wait(draft.far.drain())?;
    assert_eq!(bucket.value("zarr.json"), b"{old}");
    assert!(bucket.keys().contains(&"Y/c/0".to_owned()));
    draft.publish()
}

fn stored() -> Bucket {
    let bucket = Bucket::new();
    for (key, bytes) in [("X/c/0", &b"data"[..]), ("Y/c/0", b"y"), ("Y/zarr.json", b"{}")] {
        bucket.put(key, bytes);
    }
    bucket.put("zarr.json", b"{old}");
    bucket
}

#[test]
fn a_change_is_seen_at_once() {
    let bucket = stored();
    let mut draft = bucket.change().unwrap();
    assert_eq!(code(bucket.change()), Code::Locked);
    changed(&bucket, &mut draft).unwrap();
    drop(draft);
    assert_eq!(bucket.value("zarr.json"), b"{new}");
    assert_eq!(bucket.keys(), ["X/c/0", "X/c/1", "Y/0", "Y/zarr.json", "zarr.json"]);
}

#[test]
fn of_a_change_that_fails_what_is_new_goes() {
    let bucket = stored();
    let draft = bucket.change().unwrap();
    draft.put("X/c/1", b"new").unwrap();
    draft.put("X/c/0", b"data and more").unwrap();
    draft.clear("Y").unwrap();
    drop(draft);
    assert_eq!(bucket.keys(), ["X/c/0", "Y/c/0", "Y/zarr.json", "zarr.json"]);
    assert_eq!(bucket.value("zarr.json"), b"{old}");
}

#[test]
fn a_root_that_others_changed_is_left_to_them() {
    let bucket = stored();
    let draft = bucket.change().unwrap();
    draft.put("X/c/1", b"new").unwrap();
    draft.put("zarr.json", b"{new}").unwrap();
    bucket.put("zarr.json", b"{other}");
    let mut draft = draft;
    assert_eq!(code(draft.publish()), Code::StoreChanged);
    drop(draft);
    assert_eq!(bucket.keys(), ["X/c/0", "Y/c/0", "Y/zarr.json", "zarr.json"]);
    assert_eq!(bucket.value("zarr.json"), b"{other}");
}

#[test]
fn where_it_is_not_known_whether_a_change_was_made_it_stays() {
    let bucket = stored();
    let mut draft = bucket.change_unanswered().unwrap();
    let error = changed(&bucket, &mut draft).unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    assert!(error.to_string().contains("not known"), "{error}");
    drop(draft);
    assert_eq!(bucket.value("zarr.json"), b"{new}");
    assert_eq!(bucket.keys(), ["X/c/0", "X/c/1", "Y/0", "Y/c/0", "Y/zarr.json", "zarr.json"]);
}

#[test]
fn what_cannot_be_changed() {
    let bucket = Bucket::new();
    assert_eq!(code(bucket.change()), Code::StoreNotFound);
    bucket.put(".zgroup", b"{}");
    assert_eq!(code(bucket.change()), Code::NotWritten);
    bucket.put("zarr.json", b"{}");
    drop(bucket.change().unwrap());
    assert_eq!(bucket.keys(), [".zgroup", "zarr.json"]);
    let options = StoreOptions::default();
    let above = async {
        let mut cloud = bucket.cloud();
        cloud.folder = "a".into();
        let done = cloud.put("zarr.json", "{}".into(), PutMode::Overwrite, &options).await;
        done.map(drop).map_err(|f| f.into_error("", 1))
    };
    wait(above).unwrap();
    assert_eq!(code(bucket.change()), Code::NotWritten);
}
