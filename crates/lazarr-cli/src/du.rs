//! `lazarr du`: what each element and array takes in the store.

use std::collections::BTreeMap;

use lazarr::plan::{Amount, human_bytes, human_count};
use lazarr::{Element, Inventory, Space, decoded_bytes};
use serde_json::{Value, json};

use crate::args::Du;
use crate::exit::Failure;
use crate::facts;
use crate::out::Out;
use crate::store::Store;
use crate::table::{self, Align};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-du/1";

/// One element, or an array that it is made of.
struct Entry {
    path: String,
    kind: &'static str,
    space: Space,
    decoded: Option<Amount>,
}

pub(crate) fn run(args: &Du, out: &mut Out<'_>) -> Result<(), Failure> {
    let store = Store::open(&args.common)?;
    let root = store.element(args.element.as_deref())?.element().clone();
    let inventory = Inventory::take(&store.session)?;
    let mut entries = entries(&root, &inventory, args.depth);
    // The largest first; what holds it before what is in it.
    entries
        .sort_by(|a, b| (b.space.bytes, a.path.len(), &a.path).cmp(&(a.space.bytes, b.path.len(), &b.path)));
    let strays = inventory.strays();
    let stray_bytes = strays.iter().map(|s| s.bytes).fold(0, u64::saturating_add);
    if args.common.json {
        return out.json(&json!({
            "schema": SCHEMA,
            "store": store.session.url(),
            "element": root.path,
            "entries": entries.iter().map(document).collect::<Vec<_>>(),
            "strays": strays.iter().map(|s| json!({"key": s.key, "files": s.files, "bytes": s.bytes})).collect::<Vec<_>>(),
            "strays_left_out": inventory.more_strays(),
        }));
    }
    let left = |h: &str| matches!(h, "element" | "kind");
    let header = ["stored", "share", "chunks", "files", "in memory", "ratio", "element", "kind"]
        .map(|h| (h.to_owned(), if left(h) { Align::Left } else { Align::Right }));
    let all = inventory.below("").bytes.max(1);
    let rows: Vec<Vec<String>> = entries.iter().map(|e| row(e, all)).collect();
    table::write(out, &header, &rows)?;
    if !strays.is_empty() && root.path.is_empty() {
        out.line(&format!(
            "{} in {} belong to no element; `lazarr check` names them",
            human_bytes(stray_bytes),
            match strays.len() as u64 + inventory.more_strays() {
                1 => "1 file or folder".to_owned(),
                n => format!("{} files or folders", human_count(n)),
            },
        ))?;
    }
    Ok(())
}

fn entries(root: &Element, inventory: &Inventory, depth: u32) -> Vec<Entry> {
    let level = |path: &str| match path.strip_prefix(&*root.path).map(|p| p.trim_start_matches('/')) {
        Some("") => 0,
        Some(inside) => inside.split('/').count(),
        None => usize::MAX,
    };
    let mut found: BTreeMap<String, Entry> = BTreeMap::new();
    for element in facts::flatten(root) {
        if !facts::is_group(&element) {
            for array in element.arrays().iter().filter(|a| level(&a.path) <= depth as usize) {
                let entry = Entry {
                    path: array.path.clone(),
                    kind: "array",
                    space: inventory.below(&array.path),
                    decoded: array.inner_bytes().and_then(|_| {
                        array
                            .len()
                            .and_then(|n| n.checked_mul(array.stored_size()? as u64))
                            .map(Amount::exact)
                    }),
                };
                found.entry(array.path.clone()).or_insert(entry);
            }
        }
        if level(&element.path) <= depth as usize {
            let space = inventory.below(&element.path);
            // A mapping that is empty, or that no file is for, says nothing.
            if space.files == 0 && !element.path.is_empty() {
                continue;
            }
            let entry = Entry {
                path: element.path.clone(),
                kind: facts::kind(&element),
                space,
                decoded: Some(decoded_bytes(&element)).filter(|_| facts::kind(&element) != "broken"),
            };
            found.insert(element.path.clone(), entry);
        }
    }
    found.into_values().collect()
}

/// How many times larger it is in memory.
fn ratio(e: &Entry) -> Option<f64> {
    let decoded = e.decoded?.value;
    (e.space.bytes > 0 && decoded > 0).then(|| decoded as f64 / e.space.bytes as f64)
}

fn row(e: &Entry, all: u64) -> Vec<String> {
    vec![
        human_bytes(e.space.bytes),
        format!("{:.1} %", e.space.bytes as f64 / all as f64 * 100.0),
        human_count(e.space.chunks),
        human_count(e.space.files),
        e.decoded.map(Amount::bytes).unwrap_or_default(),
        ratio(e).map(|r| format!("{r:.1}×")).unwrap_or_default(),
        if e.path.is_empty() { "/".into() } else { e.path.clone() },
        e.kind.into(),
    ]
}

fn document(e: &Entry) -> Value {
    json!({
        "path": e.path,
        "kind": e.kind,
        "stored_bytes": e.space.bytes,
        "metadata_bytes": e.space.metadata_bytes,
        "files": e.space.files,
        "chunks": e.space.chunks,
        "decoded_bytes": e.decoded.map(facts::amount_json),
        "ratio": ratio(e),
    })
}
