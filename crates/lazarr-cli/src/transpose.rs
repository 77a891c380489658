//! `lazarr transpose`: the store anew, its matrices by genes instead of by cells, or the other way.

use lazarr::format::anndata::SparseFormat;
use lazarr::format::encode::{Layout, MatrixFormat, Rule};
use lazarr::{Body, Call};
use serde_json::json;

use crate::args::{Common, Form, Transpose};
use crate::exit::Failure;
use crate::out::Out;
use crate::store::{Store, call};
use crate::write::{Target, layout, said, whole, written};

/// The version of the JSON; a field may be added without a new one, never removed.
const SCHEMA: &str = "lazarr-transpose/1";

pub(crate) fn run(args: &Transpose, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut layout = layout(&args.layout, None)?;
    let store = Store::open(&args.common)?;
    let turned = add_rules(&store, args, &mut layout)?;
    let Common { memory, threads, json, .. } = args.common;
    let call = Call { memory_limit: memory, threads, skip_broken: args.skip_broken, ..call() };
    let target = Target { path: &args.output, layout, force: args.force, resume: args.resume };
    let done = written(whole(&store)?, target, &args.common, &call)?;
    if json {
        let turned: serde_json::Map<_, _> =
            turned.iter().map(|(path, format)| (path.clone(), json!(format))).collect();
        return out.json(&json!({
            "schema": SCHEMA, "store": args.output, "files": done.files, "bytes": done.bytes,
            "arrays": done.arrays, "formats": turned,
        }));
    }
    for (path, format) in turned {
        let path = if path.is_empty() { "the matrix".to_owned() } else { path };
        out.line(&format!("{path}: {}", json!(format).as_str().unwrap_or_default()))?;
    }
    said(&args.output, &done, out)
}

/// A rule for each matrix that becomes something else.
fn add_rules(
    store: &Store,
    args: &Transpose,
    layout: &mut Layout,
) -> Result<Vec<(String, MatrixFormat)>, Failure> {
    let named = !args.element.is_empty();
    let paths = match &store.object {
        _ if named => args.element.iter().map(|p| p.trim_matches('/').to_owned()).collect(),
        None => vec![String::new()],
        Some(object) => {
            let layers = object.keys("layers").unwrap_or_default();
            let layers = layers.into_iter().map(|name| format!("layers/{name}"));
            // An AnnData may be without X.
            object.get("X").is_ok().then(|| "X".to_owned()).into_iter().chain(layers).collect()
        }
    };
    let mut turned = Vec::new();
    for path in paths {
        let element = store.element(Some(&path))?;
        let flipped = match &element.element().body {
            Body::Sparse(s) if s.format == SparseFormat::Csr => Some(MatrixFormat::Csc),
            Body::Sparse(_) => Some(MatrixFormat::Csr),
            Body::Dense(_) if element.shape().len() == 2 => None,
            _ if !named => continue,
            _ => return Err(Failure::Usage(format!("`{path}` is not a matrix"))),
        };
        let to = match args.to {
            Some(Form::Csr) => MatrixFormat::Csr,
            Some(Form::Csc) => MatrixFormat::Csc,
            Some(Form::Dense) => MatrixFormat::Dense,
            None => match flipped {
                Some(format) => format,
                None if named => {
                    return Err(Failure::Usage(format!(
                        "`{path}` is dense: say what it becomes, --to csr or --to csc"
                    )));
                }
                None => continue,
            },
        };
        layout.rules.push(Rule { path: path.clone(), format: Some(to), ..Rule::default() });
        turned.push((path, to));
    }
    if turned.is_empty() {
        return Err(Failure::Usage("there is no matrix in X and layers that is csr or csc".to_owned()));
    }
    Ok(turned)
}
