//! Each page of an error shows one that is real: here each is made once, and must read as its page says.
//!
//! `LAZARR_BLESS=1 cargo test -p lazarr --test explain` writes the messages into the pages, and `docs/errors.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use common::{adata, index, open};
use lazarr::format::DataType;
use lazarr::format::encode::Layout as Layout3;
use lazarr::format::metadata::Limits;
use lazarr::plan::expr::{CmpOp, ColumnRef, Expr, Literal};
use lazarr::store::{Audit, ByteRange, Io, MemoryStore, StoreOptions, ZipLimits, ZipStore};
use lazarr::write::{Source, WriteOptions, write};
use lazarr::{Call, Code, Error, Kind, Lazy, Options, Session, Step};
use lazarr_testkit::{Array, Codec, Fault, Items, Layout, Sample, Server, Spec, Wrapped, Zip};
use serde_json::{Value, json};

fn sample(layout: Layout) -> Sample {
    Sample::new(&Spec { layout, ..Spec::default() })
}

fn plain() -> Sample {
    sample(Layout::default())
}

/// What collecting an element says once the store was changed.
fn after(layout: Layout, path: &str, change: impl FnOnce(&mut MemoryStore)) -> Error {
    let mut store = sample(layout).writer.store();
    change(&mut store);
    let session = open(Arc::new(store), false, 1);
    Lazy::new(&session, &session.element(path).unwrap()).collect(&Call::default()).unwrap_err()
}

/// What collecting an element says once its metadata was changed.
fn metadata(node: &str, path: &str, change: impl FnOnce(&mut Value)) -> Error {
    let layout = Layout { consolidated: false, ..Layout::default() };
    after(layout, path, |store| {
        let key = format!("{node}/zarr.json");
        let mut document: Value = serde_json::from_slice(store.value(&key).unwrap()).unwrap();
        change(&mut document);
        store.insert(key, document.to_string().into_bytes());
    })
}

fn bytes_of(store: &MemoryStore, key: &str) -> Vec<u8> {
    store.value(key).unwrap().to_vec()
}

/// What opening says of one document at the root.
fn root(key: &str, text: &str, limits: Limits) -> Error {
    let mut store = MemoryStore::default();
    store.insert(key, text.as_bytes());
    Session::open_store(Arc::new(store), Options { limits, ..Options::default() }).unwrap_err()
}

/// What collecting an element says once one of its arrays was written anew.
fn rewritten(node: &str, path: &str, array: &Array) -> Error {
    let mut writer = plain().writer;
    writer.array(node, array);
    let session = open(Arc::new(writer.store()), false, 1);
    Lazy::new(&session, &session.element(path).unwrap()).collect(&Call::default()).unwrap_err()
}

fn io_errors(code: Code) -> Error {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("atlas.zarr");
    plain().writer.write_to(&path).unwrap();
    let chunk = path.join("X/data/c/0");
    std::fs::remove_file(&chunk).unwrap();
    if code == Code::StoreIo {
        std::fs::create_dir(&chunk).unwrap();
    } else {
        std::os::unix::fs::symlink("/etc/hostname", &chunk).unwrap();
    }
    let session = Session::open(path.to_str().unwrap(), Options::default()).unwrap();
    Lazy::new(&session, &session.element("X").unwrap()).collect(&Call::default()).unwrap_err()
}

fn changed() -> Error {
    let sample = sample(Layout::sharded());
    let store = Wrapped::new(sample.writer.store());
    let session = open(store.clone(), false, 1);
    let x = Lazy::new(&session, &session.element("X").unwrap());
    x.collect(&Call::default()).unwrap();
    store.change(|s| s.insert("X/data/c/0", vec![0; 400]));
    x.collect(&Call::default()).unwrap_err()
}

/// What reading from a server says that does this to every request.
fn network(fault: Fault) -> Error {
    let server = Server::new(&plain().writer.values());
    let words = [("read_timeout", "50ms"), ("retry_timeout", "1s"), ("max_retries", "2")];
    let options = Options { storage: StoreOptions::new(words), ..Options::default() };
    let session = Session::open(&server.url(""), options).unwrap();
    server.fault(fault, 1, 1, u64::MAX);
    let pca = Lazy::new(&session, &session.element("obsm/X_pca").unwrap());
    // One chunk: which of several is read first is not said.
    pca.select(0, Step::Ints([0][..].into())).unwrap().collect(&Call::default()).unwrap_err()
}

fn archive() -> Error {
    let mut bytes = Zip::of(&plain().writer.values(), "", false).bytes();
    bytes.truncate(bytes.len() - 30);
    let mut inner = MemoryStore::default();
    inner.insert("atlas.zip", bytes);
    ZipStore::over(Arc::new(inner), "atlas.zip", "atlas.zip", "", &ZipLimits::default()).unwrap_err()
}

fn x() -> Lazy {
    let session = open(Arc::new(plain().writer.store()), false, 1);
    adata(&session).get("X").unwrap()
}

fn dense(shape: &[u64], items: Items) -> Array {
    Array::new(DataType::Float(4), shape, &[1 << 20, 6], items)
}

fn predicate(column: &str, foreign: bool) -> Error {
    let session = open(Arc::new(plain().writer.store()), false, 1);
    let object = adata(&session);
    let on = if foreign {
        object.select(Some(index(&[1, 2], 60)), None).unwrap().obs_axis().clone()
    } else {
        object.obs_axis().clone()
    };
    let column = ColumnRef::new(on.id(), format!("obs/{column}"), Some(column));
    let step = Step::Predicate(Arc::new(Expr::cmp(column, CmpOp::Gt, Literal::Int(5))));
    object.select(Some(step), None).and_then(|v| v.resolve(&Call::default())).unwrap_err()
}

/// What writing says, with the folder of its own left out.
fn writing(code: Code) -> Error {
    use std::io::{Error as Io, ErrorKind};

    use lazarr::store::draft::{Draft, DraftOptions, Fault, LocalDraft, Op};
    let directory = tempfile::tempdir().unwrap();
    std::env::set_current_dir(directory.path()).unwrap();
    let root = std::env::current_dir().unwrap();
    let path = root.join("atlas.zarr");
    let draft = |fault: Fault| LocalDraft::begin(&path, DraftOptions { fault, ..DraftOptions::default() });
    let failing = |kind: ErrorKind| {
        let fault = Fault::new(move |op, _| if op == Op::Write { Err(Io::from(kind)) } else { Ok(()) });
        draft(fault).unwrap().put("zarr.json", b"{}").unwrap_err()
    };
    let e = match code {
        Code::StoreExists => {
            plain().writer.write_to(&path).unwrap();
            draft(Fault::default()).unwrap_err()
        }
        Code::Locked => {
            let _held = draft(Fault::default()).unwrap();
            draft(Fault::default()).unwrap_err()
        }
        Code::NoSpace => failing(ErrorKind::StorageFull),
        Code::WriteIo => failing(ErrorKind::PermissionDenied),
        Code::Layout => Layout3::preset("fast", 3).unwrap_err(),
        Code::NotResumed => {
            let run = |no_sync: bool, fault: Fault| {
                let value = lazarr::Value::Map(vec![("a".to_owned(), lazarr::Value::Null)]);
                let options = WriteOptions { resume: true, no_sync, fault, ..WriteOptions::default() };
                write(Source::Value(value), "atlas.zarr", &options, &Call::default()).unwrap_err()
            };
            let fails = |op, path: &std::path::Path| {
                let last = op == Op::Create && path.ends_with("a/zarr.json");
                if last { Err(ErrorKind::Other.into()) } else { Ok(()) }
            };
            run(false, Fault::new(fails));
            run(true, Fault::default())
        }
        _ => {
            let map = lazarr::Value::Map(vec![("a/b".to_owned(), lazarr::Value::Null)]);
            let options = WriteOptions::default();
            write(Source::Value(map), "atlas.zarr", &options, &Call::default()).unwrap_err()
        }
    };
    std::env::set_current_dir("/").unwrap();
    without(&e, &format!("{}/", root.display()))
}

/// The same error without a text that differs from run to run: the name of a draft, a folder of the test's own.
fn without(e: &Error, root: &str) -> Error {
    let message = e.message().replace(root, "");
    let message = match message.find(".lazarr-") {
        Some(at) if message.len() > at + 24 => {
            format!("{}{}{}", &message[..at + 8], "5f0c", &message[at + 24..])
        }
        _ => message,
    };
    let mut out = Error::new(e.code(), message);
    if let Some(element) = e.element_name() {
        out = out.element(element);
    }
    if let (Some(expected), _) = e.expected_found() {
        out = out.expected(expected);
    }
    if let (_, Some(found)) = e.expected_found() {
        out = out.found(found);
    }
    if let Some(source) = std::error::Error::source(e) {
        out = out.source(source.to_string());
    }
    match e.help_text() {
        Some(help) => out.help(help),
        None => out,
    }
}

/// One error of this code, as a user would meet it.
fn make(code: Code) -> Error {
    let integers = |items: &[i64]| Array::integers(DataType::Int(8), 16, items);
    match code {
        Code::StoreNotFound => Session::open("atlas.zarr", Options::default()).unwrap_err(),
        Code::StoreUrl => Session::open("ftp://host/atlas.zarr", Options::default()).unwrap_err(),
        Code::StoreIo | Code::StoreEscape => io_errors(code),
        Code::StoreChanged => changed(),
        Code::Archive => archive(),
        Code::Forbidden => network(Fault::Forbidden),
        Code::Timeout => network(Fault::Silence),
        Code::Unavailable => network(Fault::Busy),
        Code::StoreAnswer => network(Fault::Portal),
        Code::Redirected => network(Fault::Redirect),
        Code::MetadataJson => root("zarr.json", r#"{"zarr_format": 3, "node"#, Limits::default()),
        Code::MetadataField => metadata("obsm/X_pca", "obsm/X_pca", |m| {
            m["chunk_grid"]["configuration"]["chunk_shape"] = json!([16]);
        }),
        Code::MetadataUnsupported => {
            root("zarr.json", r#"{"zarr_format": 4, "node_type": "group"}"#, Limits::default())
        }
        Code::DataType => metadata("obsm/X_pca", "obsm/X_pca", |m| m["data_type"] = json!("float12")),
        Code::CodecUnknown => metadata("obsm/X_pca", "obsm/X_pca", |m| {
            m["codecs"].as_array_mut().unwrap().push(json!({"name": "jpeg"}));
        }),
        Code::MetadataLimit => {
            let document = format!("{{\"zarr_format\": 3, \"node_type\": \"group\"{}}}", " ".repeat(4000));
            root("zarr.json", &document, Limits { metadata_bytes: 1000, ..Limits::default() })
        }
        Code::ChunkDecode => after(Layout { codec: Codec::Zstd, ..Layout::default() }, "X", |s| {
            s.insert("X/data/c/0", vec![7; 64]);
        }),
        Code::ChunkLength => after(Layout::default(), "X", |s| {
            s.insert("X/data/c/0", bytes_of(s, "X/data/c/0")[..100].to_vec());
        }),
        Code::ChunkChecksum => after(Layout { codec: Codec::Crc, ..Layout::default() }, "X", |s| {
            let mut bytes = bytes_of(s, "X/data/c/0");
            bytes[9] ^= 1;
            s.insert("X/data/c/0", bytes);
        }),
        Code::MissingChunk => after(Layout::default(), "X", |s| {
            s.remove("X/data/c/1");
        }),
        Code::ShardIndex => after(Layout::sharded(), "X", |s| {
            s.insert("X/data/c/0", vec![0; 20]);
        }),
        Code::EncodingUnknown => {
            metadata("uns", "uns", |m| m["attributes"]["encoding-type"] = json!("of-tomorrow"))
        }
        Code::EncodingInvalid => after(Layout { consolidated: false, ..Layout::default() }, "X", |s| {
            s.remove("X/indices/zarr.json");
        }),
        Code::SparseIndptr => {
            let mut starts = plain().x.parts().2;
            starts[7] += 1000;
            rewritten("X/indptr", "X", &integers(&starts))
        }
        Code::SparseIndices => {
            let mut indices = plain().x.parts().1;
            indices[5] = 25;
            rewritten("X/indices", "X", &integers(&indices))
        }
        Code::CategoryCode => rewritten("obs/kind/codes", "obs/kind", &integers(&[9; 60])),
        Code::StringData => after(Layout::default(), "obs/note", |s| {
            let mut chunk = bytes_of(s, "obs/note/c/0");
            let at = chunk.windows(2).position(|w| w == "é".as_bytes()).unwrap();
            chunk[at] = 0xff;
            s.insert("obs/note/c/0", chunk);
        }),
        Code::Misaligned => {
            rewritten("obsm/X_pca", "obsm/X_pca", &dense(&[59, 6], Items::Fixed(vec![0; 59 * 24])))
        }
        Code::ElementNotFound => {
            let session = open(Arc::new(plain().writer.store()), false, 1);
            adata(&session).get("obsm/X_umap").unwrap_err()
        }
        Code::LabelNotFound => {
            let labels = ["g8".to_owned()];
            x().select(1, Step::Labels(labels[..].into())).unwrap().resolve(&Call::default()).unwrap_err()
        }
        Code::IndexOutOfRange => x().select(0, Step::Ints([3, 60][..].into())).unwrap_err(),
        Code::IndexKind => x().select(0, Step::Slice(None, None, Some(0))).unwrap_err(),
        Code::Expression => predicate("note", false),
        Code::ForeignPredicate => predicate("count", true),
        Code::Operation => x().names().unwrap_err(),
        Code::MemoryLimit => x().collect(&Call { memory_limit: Some(1000), ..Call::default() }).unwrap_err(),
        Code::OutOfMemory => {
            // As large as half of all addresses: no machine has it.
            let mut writer = plain().writer;
            let absent = dense(&[60, 6], Items::Fixed(vec![0; 60 * 24])).without(&[&[0, 0]]);
            writer.array("uns/vast", &absent);
            let mut node: Value = serde_json::from_slice(&writer.values()["uns/vast/zarr.json"]).unwrap();
            node["shape"] = json!([1u64 << 57, 6]);
            writer.replace_node("uns/vast/zarr.json", node);
            let session = open(Arc::new(writer.store()), false, 1);
            let vast = Lazy::new(&session, &session.element("uns/vast").unwrap());
            vast.collect(&Call { memory_limit: Some(u64::MAX), ..Call::default() }).unwrap_err()
        }
        Code::Interrupted => {
            let stop = || true;
            let store = Wrapped::new(plain().writer.store());
            let session = open(store.clone(), false, 1);
            store.slow(std::time::Duration::from_millis(60)); // it is asked for now and then
            let x = Lazy::new(&session, &session.element("X").unwrap());
            x.collect(&Call { interrupt: Some(&stop), ..Call::default() }).unwrap_err()
        }
        Code::UnplannedRead => {
            let io = Io::new(Arc::new(plain().writer.store())).with_audit(Arc::new(Audit::default()));
            io.get("X/data/c/0", &ByteRange::All, &mut |_| Ok(()), &mut Vec::new()).unwrap_err()
        }
        Code::StoreExists
        | Code::Locked
        | Code::NoSpace
        | Code::WriteIo
        | Code::Layout
        | Code::NotWritten
        | Code::NotResumed => writing(code),
        Code::Internal => {
            let session = open(Arc::new(plain().writer.store()), false, 1);
            let arrays = session.element("obsm/X_pca").unwrap().arrays();
            lazarr::plan::check_rank(&arrays[0], &[]).unwrap_err()
        }
        _ => panic!("{code:?} is not made here: add it"),
    }
}

fn page_file(code: Code) -> PathBuf {
    let errors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../lazarr-format/errors");
    errors.join(format!("{}.md", code.id()))
}

/// The text between the fences of a page.
fn shown(page: &str) -> (usize, usize) {
    let start = page.find("```text\n").unwrap() + "```text\n".len();
    (start, start + page[start..].find("\n```").unwrap())
}

#[test]
fn every_page_shows_an_error_as_it_is() {
    let _alone = common::alone();
    let bless = std::env::var_os("LAZARR_BLESS").is_some();
    let far = [Code::Forbidden, Code::Timeout, Code::Unavailable, Code::StoreAnswer, Code::Redirected];
    for &code in Code::ALL {
        if cfg!(not(feature = "remote")) && far.contains(&code) {
            continue; // this build has no network
        }
        let error = make(code);
        assert_eq!(error.code(), code, "{error}");
        let text = error.to_string();
        let file = page_file(code);
        let page = if bless { std::fs::read_to_string(&file).unwrap() } else { code.page().to_owned() };
        let (start, end) = shown(&page);
        if bless {
            let page = [&page[..start], text.as_str(), &page[end..]].concat();
            std::fs::write(&file, page).unwrap();
        } else {
            assert_eq!(&page[start..end], text, "{}: LAZARR_BLESS=1 writes it", file.display());
        }
    }
}

/// The list of all pages, as `docs/errors.md` has it.
fn list() -> String {
    let mut out = "# Errors\n\nEvery error ends with its code. Its page says what it means, how it looks, likely causes, what to do, and what can\n\
        still be read: `lazarr explain LZ0302` at a shell, `lz.explain(\"LZ0302\")` in Python. The exception has it as `.code`.\n\n\
        | code | what | in Python, also |\n|---|---|---|\n"
        .to_owned();
    for code in Code::ALL {
        let builtin = match code.kind() {
            Kind::NotFound => "`FileNotFoundError`",
            Kind::Key => "`KeyError`",
            Kind::Index => "`IndexError`",
            Kind::Type => "`TypeError`",
            Kind::Io => "`OSError`",
            Kind::Invalid | Kind::Unsupported => "`ValueError`",
            Kind::Memory => "`MemoryError`",
            Kind::Interrupted => "`KeyboardInterrupt`",
            _ => "`RuntimeError`",
        };
        let (id, title) = (code.id(), code.title());
        writeln!(out, "| [{id}](../crates/lazarr-format/errors/{id}.md) | {title} | {builtin} |").unwrap();
    }
    out
}

#[test]
fn the_list_of_errors_is_up_to_date() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    if std::env::var_os("LAZARR_BLESS").is_some() {
        std::fs::write(&file, list()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), list(), "LAZARR_BLESS=1 writes docs/errors.md");
}
