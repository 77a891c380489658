//! Lazy objects as text: what a pickle holds. Selections, never a socket or a secret.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lazarr_format::{Code, Error, Result};
use lazarr_plan::Index;
use lazarr_plan::expr::Expr;
use serde_json::{Value as Json, json};

use crate::axis::{Axis, AxisView, Step};
use crate::lazy::Lazy;
use crate::object::LazyAnnData;
use crate::session::Session;

fn bad() -> Error {
    Error::new(
        Code::Operation,
        "this is not the saved state of a lazy object, or of another version of lazarr",
    )
}

fn step_to(step: &Step) -> Json {
    match step {
        Step::Index(index) => json!(["index", STANDARD.encode(index.to_bytes())]),
        Step::Slice(a, b, c) => json!(["slice", a, b, c]),
        Step::Ints(items) => json!(["ints", &items[..]]),
        Step::Mask(items) => json!(["mask", &items[..]]),
        Step::Labels(labels) => json!(["labels", &labels[..]]),
        Step::LabelSlice(a, b) => json!(["labelslice", a, b]),
        Step::LabelledMask(labels, mask) => json!(["labelled", &labels[..], &mask[..]]),
        Step::Predicate(expr) => json!(["predicate", expr.to_json().unwrap_or_default()]),
    }
}

fn list<T>(json: &Json, f: impl Fn(&Json) -> Option<T>) -> Result<Vec<T>> {
    json.as_array().ok_or_else(bad)?.iter().map(|v| f(v).ok_or_else(bad)).collect()
}

fn step_from(json: &Json) -> Result<Step> {
    let part = |i: usize| json.get(i).ok_or_else(bad);
    let text = |v: &Json| v.as_str().map(str::to_owned);
    Ok(match part(0)?.as_str().unwrap_or_default() {
        "index" => {
            let bytes =
                STANDARD.decode(part(1)?.as_str().unwrap_or_default()).map_err(|e| bad().source(e))?;
            Step::Index(Index::from_bytes(&bytes)?)
        }
        "slice" => Step::Slice(part(1)?.as_i64(), part(2)?.as_i64(), part(3)?.as_i64()),
        "ints" => Step::Ints(list(part(1)?, Json::as_i64)?.into()),
        "mask" => Step::Mask(list(part(1)?, Json::as_bool)?.into()),
        "labels" => Step::Labels(list(part(1)?, text)?.into()),
        "labelslice" => Step::LabelSlice(text(part(1)?), text(part(2)?)),
        "labelled" => Step::LabelledMask(list(part(1)?, text)?.into(), list(part(2)?, Json::as_bool)?.into()),
        "predicate" => Step::Predicate(Arc::new(Expr::from_json(part(1)?.as_str().ok_or_else(bad)?)?)),
        _ => return Err(bad()),
    })
}

fn axis_to(view: &AxisView) -> Json {
    let steps: Vec<Json> = view.steps().iter().map(step_to).collect();
    json!({"path": view.axis().path, "len": view.axis().len, "steps": steps})
}

fn axis_from(session: &Session, json: &Json) -> Result<Arc<AxisView>> {
    let path = json.get("path").and_then(Json::as_str).ok_or_else(bad)?;
    let len = json.get("len").and_then(Json::as_u64).ok_or_else(bad)?;
    let frame = if path.contains('#') { None } else { Some(session.element(path)?) };
    let stored =
        frame.as_ref().and_then(lazarr_format::anndata::Element::shape).and_then(|s| s.first().copied());
    if stored.is_some_and(|n| n != len) {
        return Err(Error::new(Code::StoreChanged, "the store has changed since this object was saved")
            .element(path)
            .expected(format!("{len} items"))
            .found(format!("{} items", stored.unwrap_or(0))));
    }
    let mut view = AxisView::all(&Axis::new(path, len, frame, session.identity));
    for step in json.get("steps").and_then(Json::as_array).ok_or_else(bad)? {
        view = view.then(step_from(step)?)?;
    }
    Ok(view)
}

impl Lazy {
    /// The element and its selection as text.
    pub fn state(&self) -> String {
        let axes: Vec<Json> = self.axes().iter().map(|a| axis_to(a)).collect();
        json!({"path": self.element().path, "axes": axes, "dropped": self.dropped(), "columns": self.chosen_columns()})
            .to_string()
    }

    /// The element that [`Lazy::state`] saved, of the same store.
    pub fn from_state(session: &Arc<Session>, state: &str) -> Result<Self> {
        let json: Json = serde_json::from_str(state).map_err(|e| bad().source(e))?;
        let element = session.element(json.get("path").and_then(Json::as_str).ok_or_else(bad)?)?;
        let axes = list(json.get("axes").ok_or_else(bad)?, |a| Some(axis_from(session, a)))?;
        let axes = axes.into_iter().collect::<Result<Vec<_>>>()?;
        let dropped = list(json.get("dropped").ok_or_else(bad)?, Json::as_bool)?;
        let columns = match json.get("columns") {
            None | Some(Json::Null) => None,
            Some(names) => Some(list(names, |v| v.as_str().map(str::to_owned))?),
        };
        Self::restore(session, &element, axes, dropped, columns)
    }
}

impl LazyAnnData {
    /// The object and its selection as text.
    pub fn state(&self) -> String {
        json!({"path": self.element().path, "obs": axis_to(self.obs_axis()), "var": axis_to(self.var_axis())})
            .to_string()
    }

    /// The object that [`LazyAnnData::state`] saved, of the same store.
    pub fn from_state(session: &Arc<Session>, state: &str) -> Result<Self> {
        let json: Json = serde_json::from_str(state).map_err(|e| bad().source(e))?;
        let element = session.element(json.get("path").and_then(Json::as_str).ok_or_else(bad)?)?;
        let whole = Self::new(session, &element)?;
        let obs = axis_from(session, json.get("obs").ok_or_else(bad)?)?;
        let var = axis_from(session, json.get("var").ok_or_else(bad)?)?;
        Ok(whole.with_axes(obs, var))
    }
}
