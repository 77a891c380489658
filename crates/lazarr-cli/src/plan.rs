//! `lazarr plan`: what reading a selection would cost.

use lazarr::{Body, Lazy, LazyAnnData, Plan, Result, Step};

use crate::args;
use crate::exit::Failure;
use crate::out::Out;
use crate::selection::Selection;
use crate::store::{Store, call};

pub(crate) fn run(args: &args::Plan, out: &mut Out<'_>) -> Result<(), Failure> {
    let store = Store::open(&args.common)?;
    let plan = match &store.object {
        Some(object) => of_object(object, args)?,
        None => of_element(&store, args)?,
    };
    if args.common.json {
        return out.json(&plan.to_json());
    }
    for line in plan.to_string().lines() {
        // The plan speaks Python; here the same is an option.
        let text = line.trim_start();
        match text.strip_prefix("plan(resolve=True) ") {
            Some(rest) => out.line(&format!("{}--resolve {rest}", &line[..line.len() - text.len()]))?,
            None => out.line(line)?,
        }
    }
    Ok(())
}

fn of_object(object: &LazyAnnData, args: &args::Plan) -> Result<Plan> {
    let step = |selection: &Option<Selection>, axis: usize| -> Result<Option<Step>> {
        let n = object.shape()[axis].unwrap_or(0);
        selection.as_ref().map(|s| s.step(n)).transpose()
    };
    let view = object.select(step(&args.obs, 0)?, step(&args.var, 1)?)?;
    let Some(path) = args.element.as_deref().map(|p| p.trim_matches('/')).filter(|p| !p.is_empty()) else {
        return view.plan(&call(), None, args.resolve);
    };
    let lazy = view.get(path)?;
    // The elements of a mapping each have their own axes: the object knows which.
    if matches!(lazy.element().body, Body::Dict(_) | Body::Raw(_)) && view.is_view() {
        return view.plan(&call(), Some(&[path.to_owned()]), args.resolve);
    }
    lazy.plan(&call(), args.resolve)
}

fn of_element(store: &Store, args: &args::Plan) -> Result<Plan> {
    let mut lazy: Lazy = store.element(args.element.as_deref())?;
    for (axis, selection) in [&args.obs, &args.var].into_iter().enumerate() {
        let Some(selection) = selection else { continue };
        // An axis that is not there is refused by `select`.
        let n = lazy.axes().get(axis).and_then(|a| a.count()).unwrap_or(0);
        let step = match lazy.axes().get(axis) {
            Some(_) => selection.step(n)?,
            None => Step::Labels([].into()),
        };
        lazy = lazy.select(axis, step)?;
    }
    lazy.plan(&call(), args.resolve)
}
