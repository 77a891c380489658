//! Damage to metadata: documents that are edited, cut, or gone.

use serde_json::{Value, json};

use super::{Known, Mutation, Work};

/// A document of a node, where it stands: its own file, the consolidated copy, or both.
struct Document {
    path: String,
    file: &'static str,
    value: Value,
    own: bool,
    consolidated: bool,
}

fn join(path: &str, file: &str) -> String {
    if path.is_empty() { file.to_owned() } else { format!("{path}/{file}") }
}

/// The nodes of the store with a document of this name, by their own files.
fn nodes(work: &Work<'_>, file: &str) -> Vec<String> {
    let own = work.values.keys().filter_map(|k| match k.rsplit_once('/') {
        Some((path, name)) => (name == file).then(|| path.to_owned()),
        None => (k == file).then(String::new),
    });
    own.collect()
}

/// The document that holds all others, and where they are in it.
fn root_of(work: &Work<'_>) -> (&'static str, &'static str) {
    if work.layout().version == 3 {
        ("zarr.json", "/consolidated_metadata/metadata")
    } else {
        (".zmetadata", "/metadata")
    }
}

fn parse(work: &Work<'_>, key: &str) -> Option<Value> {
    serde_json::from_slice(work.values.get(key)?).ok()
}

impl Document {
    /// Some document of these nodes.
    fn pick(work: &mut Work<'_>, file: &'static str, want: impl Fn(&str) -> bool) -> Option<Self> {
        let nodes: Vec<_> = nodes(work, file).into_iter().filter(|p| want(p)).collect();
        if nodes.is_empty() {
            return None;
        }
        let path = work.rng.pick(&nodes);
        let value = parse(work, &join(&path, file))?;
        // The root of v3 is its own consolidated copy; what is edited there is what is read.
        let consolidated = work.layout().consolidated && !(work.layout().version == 3 && path.is_empty());
        let which = work.rng.below(4);
        Some(Self {
            path,
            file,
            value,
            own: !consolidated || which != 0,
            consolidated: consolidated && which != 1,
        })
    }

    /// Some document of an array.
    fn array(work: &mut Work<'_>) -> Option<Self> {
        let arrays: Vec<String> = work.writer.arrays().keys().cloned().collect();
        let file = if work.layout().version == 3 { "zarr.json" } else { ".zarray" };
        Self::pick(work, file, |p| arrays.iter().any(|a| a == p))
    }

    /// Some document that holds attributes.
    fn attributes(work: &mut Work<'_>, want: impl Fn(&str) -> bool) -> Option<Self> {
        Self::pick(work, if work.layout().version == 3 { "zarr.json" } else { ".zattrs" }, want)
    }

    /// Where attributes begin in it.
    fn base(&self) -> &'static str {
        if self.file == "zarr.json" { "/attributes" } else { "" }
    }

    /// Puts the edited document where it belongs.
    fn write(self, work: &mut Work<'_>, kind: &'static str, known: Known, note: &str) -> Option<Mutation> {
        let key = join(&self.path, self.file);
        if self.consolidated {
            let (root, at) = root_of(work);
            let mut all = parse(work, root)?;
            let name = if work.layout().version == 3 { self.path.clone() } else { key.clone() };
            all.pointer_mut(at)?.as_object_mut()?.insert(name, self.value.clone());
            work.values.insert(root.into(), all.to_string().into_bytes());
        }
        let place = match (self.own, self.consolidated) {
            (true, true) => "both copies",
            (false, true) => "the consolidated copy",
            _ => "its own file",
        };
        if self.own {
            work.values.insert(key.clone(), self.value.to_string().into_bytes());
        }
        Some(Mutation::metadata(kind, known, &self.path, format!("{key} in {place}: {note}")))
    }
}

/// Every place of a document, as JSON pointers.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    if !at.is_empty() {
        out.push(at.to_owned());
    }
    match value {
        Value::Object(map) => {
            for (key, child) in map.iter().filter(|(k, _)| *k != "consolidated_metadata") {
                pointers(child, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(items) => {
            for (i, child) in items.iter().enumerate() {
                pointers(child, &format!("{at}/{i}"), out);
            }
        }
        _ => {}
    }
}

fn place(work: &mut Work<'_>, value: &Value) -> Option<String> {
    let mut all = Vec::new();
    pointers(value, "", &mut all);
    if all.is_empty() { None } else { Some(work.rng.pick(&all)) }
}

fn remove(value: &mut Value, at: &str) -> Option<()> {
    let (parent, name) = at.rsplit_once('/')?;
    match value.pointer_mut(parent)? {
        Value::Object(map) => map.remove(&name.replace("~1", "/").replace("~0", "~")).map(|_| ()),
        Value::Array(items) => {
            items.remove(name.parse().ok()?);
            Some(())
        }
        _ => None,
    }
}

/// What an array cannot be without.
fn required(version: u8) -> &'static [&'static str] {
    if version == 3 {
        &[
            "/zarr_format",
            "/node_type",
            "/shape",
            "/data_type",
            "/chunk_grid",
            "/chunk_key_encoding",
            "/codecs",
        ]
    } else {
        &["/zarr_format", "/shape", "/chunks", "/dtype"]
    }
}

fn number(work: &mut Work<'_>) -> Value {
    let odd = [json!(-1), json!(0.5), json!(1e300), json!(-0.0), json!(i64::MIN), json!(u64::MAX)];
    match work.rng.below(4) {
        0 => work.rng.pick(&odd),
        1 => json!(1u64 << work.rng.below(64)),
        2 => json!((1u64 << work.rng.below(64)).wrapping_sub(1)),
        _ => json!(work.rng.below(100)),
    }
}

const WORDS: [&str; 28] = [
    "",
    "array",
    "group",
    "anndata",
    "dict",
    "dataframe",
    "csr_matrix",
    "csc_matrix",
    "categorical",
    "string-array",
    "nullable-integer",
    "raw",
    "0.1.0",
    "0.2.0",
    "_index",
    "kind",
    "../obs",
    "int8",
    "float64",
    "string",
    "<i8",
    "|O",
    "zstd",
    "crc32c",
    "gzip",
    "NaN",
    "/",
    "\u{0}",
];

fn any(work: &mut Work<'_>) -> Value {
    match work.rng.below(8) {
        0 => Value::Null,
        1 => json!(work.rng.once_in(2)),
        2 => json!([]),
        3 => json!({}),
        4 => json!([number(work), number(work)]),
        5 => Value::String(work.rng.pick(&WORDS).into()),
        _ => number(work),
    }
}

fn some_document(work: &mut Work<'_>) -> Option<Document> {
    let file = if work.layout().version == 3 {
        "zarr.json"
    } else {
        work.rng.pick(&[".zarray", ".zattrs", ".zgroup"])
    };
    Document::pick(work, file, |_| true)
}

/// A field is gone.
pub(super) fn field_deleted(work: &mut Work<'_>) -> Option<Mutation> {
    if work.rng.once_in(2) {
        let mut document = Document::array(work)?;
        let at = work.rng.pick(required(work.layout().version));
        remove(&mut document.value, at)?;
        return document.write(work, "json: needed field deleted", Known::Structure, at);
    }
    let mut document = some_document(work)?;
    let at = place(work, &document.value)?;
    let needed = required(work.layout().version).contains(&at.as_str());
    remove(&mut document.value, &at)?;
    if needed {
        return document.write(work, "json: needed field deleted", Known::Structure, &at);
    }
    document.write(work, "json: field deleted", Known::No, &at)
}

/// A value, a list or an object is another one.
pub(super) fn value_changed(work: &mut Work<'_>) -> Option<Mutation> {
    let mut document = some_document(work)?;
    let at = place(work, &document.value)?;
    let before = document.value.pointer(&at)?.clone();
    let after = match &before {
        Value::Number(n) if work.rng.once_in(2) => {
            let n = n.as_i64().unwrap_or(0);
            json!(work.rng.pick(&[n + 1, n - 1, n * 2, -n]))
        }
        _ => any(work),
    };
    if before == after {
        return None;
    }
    *document.value.pointer_mut(&at)? = after.clone();
    document.write(work, "json: value changed", Known::No, &format!("{at} {before} to {after}"))
}

/// The lists of sizes that an array has.
fn sizes(work: &mut Work<'_>, document: &Value) -> Option<String> {
    let mut lists = if work.layout().version == 3 {
        vec!["/shape", "/chunk_grid/configuration/chunk_shape", "/codecs/0/configuration/chunk_shape"]
    } else {
        vec!["/shape", "/chunks"]
    };
    lists.retain(|l| document.pointer(l).and_then(Value::as_array).is_some_and(|a| !a.is_empty()));
    if lists.is_empty() {
        return None;
    }
    let list = work.rng.pick(&lists);
    let n = document.pointer(list)?.as_array()?.len() as u64;
    Some(format!("{list}/{}", work.rng.below(n)))
}

/// A shape or the shape of chunks is larger or smaller; it may be what was meant.
pub(super) fn size(work: &mut Work<'_>) -> Option<Mutation> {
    let mut document = Document::array(work)?;
    let at = sizes(work, &document.value)?;
    let before = document.value.pointer(&at)?.as_u64()?;
    let some = work.rng.below(200);
    let after = work.rng.pick(&[
        before + 1,
        before.saturating_sub(1),
        before * 2,
        some,
        10_000,
        1_000_000,
        60_000_000,
        1 << 31,
        1 << 40,
        (1 << 53) + 1,
        i64::MAX as u64,
        u64::MAX,
    ]);
    if before == after {
        return None;
    }
    *document.value.pointer_mut(&at)? = json!(after);
    document.write(work, "json: size changed", Known::No, &format!("{at} {before} to {after}"))
}

/// A size that is none.
pub(super) fn size_broken(work: &mut Work<'_>) -> Option<Mutation> {
    let mut document = Document::array(work)?;
    let at = sizes(work, &document.value)?;
    let after = work.rng.pick(&[
        json!(-1),
        json!(2.5),
        json!("16"),
        json!(null),
        json!([16]),
        json!(1e300),
        json!(i64::MIN),
    ]);
    *document.value.pointer_mut(&at)? = after.clone();
    document.write(work, "json: size is none", Known::Structure, &format!("{at} to {after}"))
}

/// The names that say how an array is read.
fn names(work: &Work<'_>) -> &'static [&'static str] {
    if work.layout().version == 3 {
        &[
            "/data_type",
            "/codecs/0/name",
            "/codecs/1/name",
            "/codecs/0/configuration/codecs/0/name",
            "/codecs/0/configuration/codecs/1/name",
            "/codecs/0/configuration/index_codecs/0/name",
            "/codecs/0/configuration/index_codecs/1/name",
            "/chunk_grid/name",
            "/chunk_key_encoding/name",
        ]
    } else {
        &["/dtype", "/compressor/id", "/filters/0/id", "/order"]
    }
}

fn name_at(work: &mut Work<'_>, document: &Value) -> Option<String> {
    let there: Vec<_> =
        names(work).iter().filter(|n| document.pointer(n).is_some_and(Value::is_string)).copied().collect();
    if there.is_empty() { None } else { Some(work.rng.pick(&there).to_owned()) }
}

/// A data type or a codec is another one that there is.
pub(super) fn name_swapped(work: &mut Work<'_>) -> Option<Mutation> {
    let mut document = Document::array(work)?;
    let at = name_at(work, &document.value)?;
    let (dtypes, codecs) = if work.layout().version == 3 {
        (
            vec![
                "int8",
                "int16",
                "uint32",
                "int64",
                "float32",
                "float64",
                "bool",
                "string",
                "complex64",
                "float16",
                "r32",
            ],
            vec![
                "zstd",
                "gzip",
                "crc32c",
                "bytes",
                "vlen-utf8",
                "blosc",
                "transpose",
                "packbits",
                "numcodecs.zlib",
                "numcodecs.lz4",
                "numcodecs.bz2",
                "numcodecs.delta",
                "numcodecs.shuffle",
                "sharding_indexed",
                "bitround",
                "numcodecs.fletcher32",
                "pcodec",
                "numcodecs.pcodec",
                "numcodecs.fixedscaleoffset",
                "vlen-bytes",
            ],
        )
    } else {
        (
            vec!["<i2", ">i4", "|i1", "|u1", "<f4", ">f8", "|b1", "<U3", "|S5", "|O", "<M8[ns]", "|V4"],
            vec![
                "zstd",
                "gzip",
                "zlib",
                "blosc",
                "lz4",
                "bz2",
                "vlen-utf8",
                "delta",
                "shuffle",
                "crc32",
                "packbits",
                "fixedscaleoffset",
                "fletcher32",
                "pcodec",
                "vlen-bytes",
                "C",
                "F",
            ],
        )
    };
    let to = if at.ends_with("type") { work.rng.pick(&dtypes) } else { work.rng.pick(&codecs) };
    let before = document.value.pointer(&at)?.clone();
    if before == to {
        return None;
    }
    *document.value.pointer_mut(&at)? = json!(to);
    document.write(work, "json: type or codec swapped", Known::No, &format!("{at} {before} to {to}"))
}

/// A data type, a codec, a grid that nobody knows.
pub(super) fn name_unknown(work: &mut Work<'_>) -> Option<Mutation> {
    let mut document = Document::array(work)?;
    let at = name_at(work, &document.value)?;
    *document.value.pointer_mut(&at)? = json!(work.rng.pick(&["nothing", "", "\u{0}", "zarr.zstd9"]));
    document.write(work, "json: unknown type or codec", Known::Structure, &at)
}

/// A field that an array needs is of another kind.
pub(super) fn type_broken(work: &mut Work<'_>) -> Option<Mutation> {
    let mut document = Document::array(work)?;
    let at = work.rng.pick(required(work.layout().version));
    let after = work.rng.pick(&[json!(null), json!(true), json!(-3), json!({}), json!([[[]]])]);
    // An array of numbers may be the shape of something, and a scalar's is empty.
    *document.value.pointer_mut(at)? = after.clone();
    document.write(
        work,
        "json: needed field is of another kind",
        Known::Structure,
        &format!("{at} to {after}"),
    )
}

/// Another encoding, or one that nobody knows.
pub(super) fn encoding(work: &mut Work<'_>) -> Option<Mutation> {
    let mut document = Document::attributes(work, |_| true)?;
    let at = format!("{}/{}", document.base(), work.rng.pick(&["encoding-type", "encoding-version"]));
    let before = document.value.pointer(&at)?.clone();
    let after = work.rng.pick(&WORDS[..14]);
    if before == after {
        return None;
    }
    *document.value.pointer_mut(&at)? = json!(after);
    document.write(work, "json: another encoding", Known::No, &format!("{at} {before} to {after}"))
}

/// A sparse matrix is longer or shorter along its row starts.
pub(super) fn matrix_shape(work: &mut Work<'_>) -> Option<Mutation> {
    let matrices = ["X", "raw/X", "obsp/near"];
    let mut document = Document::attributes(work, |p| matrices.contains(&p))?;
    let csc = document.value.pointer(&format!("{}/encoding-type", document.base()))? == "csc_matrix";
    let at = format!("{}/shape/{}", document.base(), u8::from(csc));
    let before = document.value.pointer(&at)?.as_u64()?;
    let after = work.rng.pick(&[before + 1, before.wrapping_sub(1), before * 2 + 1, 1 << 40, u64::MAX]);
    *document.value.pointer_mut(&at)? = json!(after);
    document.write(work, "json: shape of a matrix", Known::Structure, &format!("{at} {before} to {after}"))
}

/// Nested deeper than anybody wants to go.
pub(super) fn deep(work: &mut Work<'_>) -> Option<Mutation> {
    let file = if work.layout().version == 3 { "zarr.json" } else { ".zattrs" };
    let nodes = nodes(work, file);
    if nodes.is_empty() {
        return None;
    }
    let path = work.rng.pick(&nodes);
    let (key, depth) = (join(&path, file), work.rng.pick(&[200, 5_000, 200_000]));
    let (open, close) = work.rng.pick(&[("[", "]"), ("{\"a\":", "}")]);
    let end = if open == "[" { "" } else { "1" };
    let inner = format!("{}{end}{}", open.repeat(depth), close.repeat(depth));
    let text = String::from_utf8(work.values.get(&key)?.clone()).ok()?;
    let text = text.replacen('{', &format!("{{\"deep\": {inner}, "), 1).replace(", }", "}");
    work.values.insert(key.clone(), text.into_bytes());
    Some(Mutation::metadata("json: nested deeply", Known::No, &path, format!("{key} {depth} deep")))
}

/// The keys of documents that are read; those of a consolidated store's nodes are not.
fn read_keys(work: &Work<'_>) -> Vec<String> {
    if work.layout().consolidated {
        return vec![root_of(work).0.to_owned()];
    }
    let is = |k: &&String| ["zarr.json", ".zarray", ".zattrs", ".zgroup"].iter().any(|f| k.ends_with(f));
    work.values.keys().filter(is).cloned().collect()
}

fn node_of(work: &Work<'_>, key: &str) -> String {
    if work.layout().consolidated {
        String::new()
    } else {
        key.rsplit_once('/').map_or("", |k| k.0).to_owned()
    }
}

/// A bit of the text.
pub(super) fn text_flipped(work: &mut Work<'_>) -> Option<Mutation> {
    let keys = read_keys(work);
    let key = work.rng.pick(&keys);
    let len = work.values.get(&key)?.len() as u64;
    let (at, bit) = (work.rng.below(len) as usize, work.rng.below(8));
    work.values.get_mut(&key)?[at] ^= 1 << bit;
    let path = node_of(work, &key);
    Some(Mutation::metadata("metadata: bit flipped", Known::No, &path, format!("{key} byte {at} bit {bit}")))
}

/// A document ends early.
pub(super) fn text_cut(work: &mut Work<'_>) -> Option<Mutation> {
    let keys = read_keys(work);
    let key = work.rng.pick(&keys);
    let len = work.values.get(&key)?.len() as u64;
    let keep = work.rng.below(len) as usize;
    work.values.get_mut(&key)?.truncate(keep);
    let path = node_of(work, &key);
    Some(Mutation::metadata("metadata: cut", Known::Structure, &path, format!("{key} to {keep} of {len}")))
}

/// A document is gone.
pub(super) fn dropped(work: &mut Work<'_>) -> Option<Mutation> {
    let mut keys = read_keys(work);
    if work.layout().consolidated && work.rng.once_in(2) {
        // Of an array in a consolidated store: it is only asked for where a chunk is absent.
        keys = work
            .writer
            .arrays()
            .keys()
            .map(|p| join(p, if work.layout().version == 3 { "zarr.json" } else { ".zarray" }))
            .collect();
    }
    let key = work.rng.pick(&keys);
    work.values.remove(&key)?;
    let path = node_of(work, &key);
    Some(Mutation::metadata("metadata: document dropped", Known::No, &path, key))
}
