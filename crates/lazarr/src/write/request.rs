//! What is written, in a line: so that a later writer sees whether what was begun is the same.
//!
//! Of stores it has a hash of what stands at their roots, of elements the selection, types and lengths, of values in memory a
//! hash of them. Positions and names are hashed by the identity of an axis, which is made from its content.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use lazarr_format::{Code, Error, Result};
use serde_json::{Map, Value as Json, json};

use super::WriteOptions;
use super::source::{Group, Source};
use crate::call::Call;
use crate::lazy::Lazy;
use crate::patience::Patience;
use crate::session::{Missing, Session};
use crate::value::{Dense, Value};

const HELP: &str = "Ask for the very same as at first; or write afresh, without resume=True (--resume), which clears \
                    what was begun";

/// Values of so many bytes are hashed though nobody asked for it.
const SMALL: u64 = 64 << 20;

/// Why something cannot be gone on with.
pub(super) fn refused(what: impl Into<String>, help: &str) -> Error {
    Error::new(Code::NotResumed, what.into()).help(help)
}

/// The request; `None` where something in it cannot be recognized later, or would take long and nobody has asked.
///
/// Errors: `NotResumed` for the first, where the write is to be resumed; those of reading the roots of the sources.
pub(super) fn request(
    source: &Source<'_>,
    options: &WriteOptions<'_>,
    call: &Call<'_>,
) -> Result<Option<String>> {
    let mut found = Found { asked: options.resume, sessions: Vec::new(), parts: Map::new() };
    if !found.add("", source)? {
        return Ok(None);
    }
    let patience = Patience::new(call.interrupt);
    let mut stores = BTreeMap::new();
    for session in &found.sessions {
        match session.store().stamps(&mut |_| patience.poll()) {
            Ok(stamps) => {
                stores.extend(stamps.into_iter().map(|(name, hash)| (name, format!("{hash:016x}"))));
            }
            Err(e) if options.resume || e.code() == Code::Interrupted => return Err(e),
            Err(_) => return Ok(None),
        }
    }
    let layout: Json = serde_json::from_str(&options.layout.to_json()).unwrap_or_default();
    let text = json!({
        "lazarr": env!("CARGO_PKG_VERSION"), "layout": layout, "choose": options.choose.is_some(),
        "sync": !options.no_sync, "skip_broken": call.skip_broken, "stores": stores, "parts": found.parts,
    });
    Ok(Some(text.to_string()))
}

struct Found<'f> {
    asked: bool,
    sessions: Vec<&'f Session>,
    parts: Map<String, Json>,
}

impl<'f> Found<'f> {
    fn add(&mut self, path: &str, source: &'f Source<'_>) -> Result<bool> {
        let mut hash = DefaultHasher::new();
        let what = match source {
            Source::Lazy(lazy) => {
                let session: &Session = lazy.session();
                if !self.sessions.iter().any(|s| std::ptr::eq(*s, session)) {
                    self.sessions.push(session);
                }
                hash_lazy(lazy, &mut hash);
                lazy.element().encoding_type.clone()
            }
            Source::Value(value) => {
                if !self.asked && value.bytes() > SMALL {
                    return Ok(false);
                }
                hash_value(value, &mut hash);
                "in memory".to_owned()
            }
            Source::Blocks(blocks) => {
                if !self.asked {
                    return Ok(false);
                }
                let Some(identity) = blocks.identity()? else {
                    let help =
                        "Write without resume=True (--resume), or write a store first and then that one";
                    let what = "blocks of rows that come from an iterator or another library cannot be asked for again";
                    return Err(refused(what, help).element(path));
                };
                (blocks.rows(), blocks.stored(), identity).hash(&mut hash);
                "blocks in memory".to_owned()
            }
            Source::Group { kind, children } => {
                for (name, child) in children {
                    let at = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                    if !self.add(&at, child)? {
                        return Ok(false);
                    }
                }
                match kind {
                    Group::DataFrame { index } => format!("dataframe by {index}"),
                    other => format!("{other:?}").to_lowercase(),
                }
            }
        };
        self.parts.insert(path.to_owned(), json!([what, format!("{:016x}", hash.finish())]));
        Ok(true)
    }
}

fn hash_lazy(lazy: &Lazy, hash: &mut DefaultHasher) {
    let (session, element) = (lazy.session(), lazy.element());
    (session.identity(), session.options().missing == Missing::Fill).hash(hash);
    (&element.path, &element.encoding_type, &element.encoding_version).hash(hash);
    format!("{:?}", element.attributes).hash(hash);
    lazy.axes().iter().for_each(|axis| axis.id().hash(hash));
    (lazy.dropped(), lazy.chosen_columns()).hash(hash);
    for array in element.arrays() {
        (&array.path, &array.shape, array.dtype.to_string(), &array.chunk_shape).hash(hash);
    }
}

fn hash_value(value: &Value, hash: &mut DefaultHasher) {
    let dense = |d: &Dense, hash: &mut DefaultHasher| {
        (d.dtype.to_string(), &d.shape, d.data.as_slice()).hash(hash);
    };
    std::mem::discriminant(value).hash(hash);
    match value {
        Value::Null => {}
        Value::Dense(d) => dense(d, hash),
        Value::Strings(s) => (s.is_utf8(), s.shape(), s.offsets(), s.bytes()).hash(hash),
        Value::Sparse(s) => {
            (s.format.name(), s.shape, s.dtype.to_string(), s.index_width).hash(hash);
            for part in [&s.data, &s.indices, &s.indptr] {
                part.as_slice().hash(hash);
            }
        }
        Value::Categorical { codes, categories, ordered } => {
            dense(codes, hash);
            ordered.hash(hash);
            hash_value(categories, hash);
        }
        Value::Nullable { values, mask, kind } => {
            format!("{kind:?}").hash(hash);
            dense(mask, hash);
            hash_value(values, hash);
        }
        Value::Table(table) => {
            (&table.index_name, table.len).hash(hash);
            table.index.iter().for_each(|index| hash_value(index, hash));
            hash_named(&table.columns, hash);
        }
        Value::Awkward { form, length, rows, buffers } => {
            (form, length, rows).hash(hash);
            hash_named(buffers, hash);
        }
        Value::Map(children) => hash_named(children, hash),
    }
}

fn hash_named(named: &[(String, Value)], hash: &mut DefaultHasher) {
    for (name, value) in named {
        name.hash(hash);
        hash_value(value, hash);
    }
}

/// Whether what was begun is what is to be written now; an error says what is not the same.
pub(super) fn differs(begun: &str, now: &str) -> Result<()> {
    if begun == now {
        return Ok(());
    }
    let parse = |text: &str| serde_json::from_str::<Map<String, Json>>(text).unwrap_or_default();
    let (begun, now) = (parse(begun), parse(now));
    let get = |map: &Map<String, Json>, name: &str| map.get(name).cloned().unwrap_or_default();
    let show = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let version = "lazarr";
    if get(&begun, version) != get(&now, version) {
        return Err(refused("another version of lazarr has begun it", HELP)
            .expected(show(&get(&begun, version)))
            .found(show(&get(&now, version))));
    }
    for name in ["sync", "skip_broken", "choose"] {
        if get(&begun, name) != get(&now, name) {
            return Err(refused(format!("`{name}` is not what it was begun with"), HELP)
                .expected(show(&get(&begun, name)))
                .found(show(&get(&now, name))));
        }
    }
    let (a, b) = (get(&begun, "layout"), get(&now, "layout"));
    if a != b {
        return Err(layouts(&a, &b));
    }
    if let Some((name, a, b)) = first(&get(&begun, "parts"), &get(&now, "parts"), show) {
        let one = match (&a, &b) {
            (Some(_), Some(_)) => {
                "the element is another than the one it was begun with, or another part of it"
            }
            (Some(_), None) => "an element that it was begun with is not written now",
            _ => "it was begun without this element",
        };
        return Err(refused(one, HELP).element(name));
    }
    // After the elements: of another store they have other names.
    match first(&get(&begun, "stores"), &get(&now, "stores"), show) {
        Some((name, a, b)) => {
            let state = |hash: Option<String>| hash.map_or("none".to_owned(), |h| format!("state {h}"));
            let what = format!("the source `{name}` has changed since it was begun");
            Err(refused(what, HELP).expected(state(a)).found(state(b)))
        }
        None => Err(refused("it was begun with another request", HELP)),
    }
}

fn layouts(a: &Json, b: &Json) -> Error {
    let rules = |json: &Json| json.get("rules").and_then(Json::as_array).cloned().unwrap_or_default();
    let (mine, theirs) = (rules(a), rules(b));
    let k = (0..mine.len().max(theirs.len())).find(|&k| mine.get(k) != theirs.get(k));
    let rule = |all: &[Json], k: usize| all.get(k).map_or("no such rule".to_owned(), brief);
    let error = refused("the layout is not the one it was begun with", HELP);
    if let Some(k) = k {
        return error.expected(rule(&mine, k)).found(rule(&theirs, k));
    }
    let rest = |json: &Json| {
        let mut json = json.clone();
        json.as_object_mut().map(|map| map.remove("rules"));
        brief(&json)
    };
    error.expected(rest(a)).found(rest(b))
}

/// What is set in it.
fn brief(json: &Json) -> String {
    let mut json = json.clone();
    if let Some(map) = json.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    json.to_string()
}

/// The first name under which two maps have something else.
fn first(
    a: &Json,
    b: &Json,
    show: impl Fn(&Json) -> String,
) -> Option<(String, Option<String>, Option<String>)> {
    let empty = Map::new();
    let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
    let names = b.keys().chain(a.keys());
    let mut other = names.filter(|name| a.get(*name) != b.get(*name));
    other.next().map(|name| (name.clone(), a.get(name).map(&show), b.get(name).map(&show)))
}
