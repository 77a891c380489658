//! From what a person names to a store: paths, archives, URLs.

use std::fs;
use std::io::Read;
use std::path::{Component, Path};
use std::sync::Arc;

use lazarr_format::{Code, Error, Result};
use lazarr_store::{LocalStore, Store, ZipLimits, ZipStore, redacted, scheme};

use crate::patience::Patience;
use crate::session::Options;

/// The store at a path or URL.
pub(crate) fn locate(path: &str, options: &Options, patience: &Patience<'_>) -> Result<Arc<dyn Store>> {
    match scheme(path).as_deref() {
        None => local(path, options),
        Some("file") => local(&path["file://".len()..], options),
        Some(scheme) => remote(path, scheme, options, patience),
    }
}

#[cfg(feature = "remote")]
fn remote(url: &str, scheme: &str, options: &Options, patience: &Patience<'_>) -> Result<Arc<dyn Store>> {
    use lazarr_store::{RemoteStore, archive};
    if !RemoteStore::knows(scheme) {
        return Err(unknown(url, scheme));
    }
    let Some((folder, file, inside)) = archive(url) else {
        return Ok(Arc::new(RemoteStore::open(url, &options.storage)?));
    };
    let folder = Arc::new(RemoteStore::open(&folder, &options.storage)?);
    let name = format!("{}/{file}", folder.name());
    let wait = &mut |_| patience.wait();
    Ok(Arc::new(ZipStore::over_waiting(folder, &file, &name, &inside, &zip_limits(options), wait)?))
}

#[cfg(not(feature = "remote"))]
fn remote(url: &str, scheme: &str, _: &Options, _: &Patience<'_>) -> Result<Arc<dyn Store>> {
    Err(unknown(url, scheme).help("This build reads no stores over a network (feature `remote`)"))
}

fn unknown(url: &str, scheme: &str) -> Error {
    Error::new(Code::StoreUrl, format!("`{scheme}://` stores cannot be opened"))
        .expected("a path, file://, s3://, gs://, az://, http:// or https://")
        .found(redacted(url))
}

fn zip_limits(options: &Options) -> ZipLimits {
    let limits = ZipLimits::default();
    let memory = options.memory_limit.unwrap_or(u64::MAX);
    ZipLimits {
        inflated_bytes: options.limits.chunk_bytes,
        // Its entries in memory take about twice as much again.
        directory_bytes: limits.directory_bytes.min((memory / 4).max(64 << 10)),
        ..limits
    }
}

/// The store at a local path. A file on the way is an archive, if it is called so or begins like one.
fn local(path: &str, options: &Options) -> Result<Arc<dyn Store>> {
    let place = Path::new(path);
    // A writer that was ended between two renames: what it has begun is ended.
    #[cfg(unix)]
    if fs::symlink_metadata(place).is_err() {
        lazarr_store::draft::recover(place)?;
    }
    let file = place.ancestors().find(|p| p.exists()).filter(|p| p.is_file());
    if let Some(file) = file.filter(|f| is_zip(f)) {
        let inside = place.strip_prefix(file).map(Path::components).into_iter().flatten();
        let inside: Vec<_> = inside
            .filter_map(|c| match c {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        return Ok(Arc::new(ZipStore::open(file, &inside.join("/"), &zip_limits(options))?));
    }
    Ok(Arc::new(LocalStore::open(path)?.follow_links(options.follow_links)))
}

fn is_zip(file: &Path) -> bool {
    let mut start = [0; 4];
    file.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip"))
        || fs::File::open(file).and_then(|mut f| f.read_exact(&mut start)).is_ok()
            && matches!(&start, b"PK\x03\x04" | b"PK\x05\x06")
}
