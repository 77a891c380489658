//! `lazarr plan`: what reading a selection would cost.

use lazarr::{Body, Plan, Result};

use crate::args;
use crate::exit::Failure;
use crate::out::Out;
use crate::store::{Store, call};

pub(crate) fn run(args: &args::Plan, out: &mut Out<'_>) -> Result<(), Failure> {
    let store = Store::open(&args.common)?;
    let plan = match &store.object {
        Some(_) => of_object(&store, args)?,
        None => store.part(args.element.as_deref(), &args.select)?.plan(&call(), args.resolve)?,
    };
    if args.svg {
        return Ok(out.raw().write_all(plan.to_svg().as_bytes())?);
    }
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

fn of_object(store: &Store, args: &args::Plan) -> Result<Plan> {
    let view = store.view(&args.select)?;
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
