//! Whole objects that are not read yet.

use std::sync::Arc;

use lazarr_format::anndata::{self, Body, Element};
use lazarr_format::{Code, Error, Result};
use lazarr_plan::{Index, Plan};

use crate::axis::{Axis, AxisView, Step};
use crate::call::{Call, Run};
use crate::lazy::{Lazy, plan_of};
use crate::pending::Pending;
use crate::program::{Recipe, Want};
use crate::session::Session;
use crate::value::Value;

/// A whole AnnData and what is selected of it. Cheap to clone; indexing makes a new one and reads nothing.
#[derive(Debug, Clone)]
pub struct LazyAnnData {
    session: Arc<Session>,
    element: Element,
    object: Arc<anndata::AnnData>,
    obs: Arc<AxisView>,
    var: Arc<AxisView>,
}

/// The places of an AnnData that hold elements by name.
pub const MAPPINGS: [&str; 6] = ["layers", "obsm", "varm", "obsp", "varp", "uns"];

impl LazyAnnData {
    /// A whole AnnData.
    pub fn new(session: &Arc<Session>, element: &Element) -> Result<Self> {
        let Body::AnnData(object) = &element.body else {
            return Err(Error::new(Code::Operation, "this is not a whole AnnData")
                .element(&*element.path)
                .expected("encoding-type anndata")
                .found(element.encoding_type.clone()));
        };
        let obs = Axis::new(&object.obs.path, object.n_obs, Some(object.obs.clone()), session.identity);
        let var = Axis::new(&object.var.path, object.n_vars, Some(object.var.clone()), session.identity);
        Ok(Self {
            session: session.clone(),
            element: element.clone(),
            object: object.clone(),
            obs: AxisView::all(&obs),
            var: AxisView::all(&var),
        })
    }

    /// The store.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// What is stored.
    pub fn element(&self) -> &Element {
        &self.element
    }

    /// The selected cells.
    pub fn obs_axis(&self) -> &Arc<AxisView> {
        &self.obs
    }

    /// The selected genes.
    pub fn var_axis(&self) -> &Arc<AxisView> {
        &self.var
    }

    pub(crate) fn with_axes(self, obs: Arc<AxisView>, var: Arc<AxisView>) -> Self {
        Self { obs, var, ..self }
    }

    /// Cells and genes; `None` where labels or columns must be read to know.
    pub fn shape(&self) -> [Option<u64>; 2] {
        [self.obs.count(), self.var.count()]
    }

    /// Whether anything has been selected.
    pub fn is_view(&self) -> bool {
        !(self.obs.is_all() && self.var.is_all())
    }

    /// A view. Reads nothing.
    pub fn select(&self, obs: Option<Step>, var: Option<Step>) -> Result<Self> {
        let mut out = self.clone();
        if let Some(step) = obs {
            out.obs = self.obs.then(step).map_err(|e| e.element("obs"))?;
        }
        if let Some(step) = var {
            out.var = self.var.then(step).map_err(|e| e.element("var"))?;
        }
        Ok(out)
    }

    /// What it is made of.
    pub(crate) fn object(&self) -> &anndata::AnnData {
        &self.object
    }

    /// The same selection of another element of another session, whose axes are as long.
    pub(crate) fn moved(&self, session: &Arc<Session>, element: &Element) -> Result<Self> {
        let whole = Self::new(session, element)?;
        let on = |view: &AxisView, whole: &Arc<AxisView>| match view.index() {
            Some(index) => whole.then(Step::Index(index.clone())),
            None => Err(Error::new(Code::Internal, "the selection was not made")),
        };
        let (obs, var) = (on(&self.obs, &whole.obs)?, on(&self.var, &whole.var)?);
        Ok(whole.with_axes(obs, var))
    }

    /// The axes of the elements at a place: `X`, `layers`, `obsm`, `raw/X`, …
    pub(crate) fn axes_of(&self, place: &str) -> Vec<Arc<AxisView>> {
        let (obs, var) = (self.obs.clone(), self.var.clone());
        match place {
            "X" | "layers" => vec![obs, var],
            "obs" | "obsm" => vec![obs],
            "var" | "varm" => vec![var],
            "obsp" => vec![obs.clone(), obs],
            "varp" => vec![var.clone(), var],
            _ => Vec::new(),
        }
    }

    /// The element at a path in the object: `X`, `obs`, `obsm/X_pca`, `raw/X`, `uns/neighbors/params`.
    pub fn get(&self, path: &str) -> Result<Lazy> {
        let (place, rest) = path.split_once('/').unwrap_or((path, ""));
        let element = match self.find(place, rest, path) {
            // The names of a store that cannot be listed are not all known.
            Err(_) if !self.session.unlisted().is_empty() => {
                let own = &self.element.path;
                self.session.element(&if own.is_empty() {
                    path.to_owned()
                } else {
                    format!("{own}/{path}")
                })?
            }
            found => found?,
        };
        if place == "raw" {
            return Ok(self.raw(rest, &element));
        }
        let axes = self.axes_of(place);
        Ok(Lazy::with_axes(&self.session, &element, &axes))
    }

    fn find(&self, place: &str, rest: &str, path: &str) -> Result<Element> {
        let unknown = |names: Vec<String>, name: &str| {
            Error::new(Code::ElementNotFound, format!("there is no element `{path}`"))
                .expected(format!("one of {}", lazarr_plan::nearest(name, &names)))
                .found(name.to_owned())
        };
        let mut at = self.element.clone();
        let mut parts = std::iter::once(place).chain(rest.split('/').filter(|p| !p.is_empty())).peekable();
        let mut name = String::new();
        while let Some(part) = parts.next() {
            // Names may hold slashes: join parts until a child fits.
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(part);
            let children = at.children();
            match children.iter().find(|(n, _)| *n == name) {
                Some((_, child)) => {
                    at = child.clone();
                    name.clear();
                }
                None if parts.peek().is_none() => {
                    return Err(unknown(children.into_iter().map(|(n, _)| n).collect(), &name));
                }
                None => {}
            }
        }
        Ok(at)
    }

    /// `raw` follows the cells, never the genes: its columns are its own.
    fn raw(&self, rest: &str, element: &Element) -> Lazy {
        let var = self.object.raw.as_ref().map(|raw| {
            let n = raw.var.shape().and_then(|s| s.first().copied()).unwrap_or(0);
            AxisView::all(&Axis::new(&raw.var.path, n, Some(raw.var.clone()), self.session.identity))
        });
        let axes: Vec<_> = match rest.split('/').next() {
            Some("X") => std::iter::once(self.obs.clone()).chain(var).collect(),
            Some("var" | "varm") => var.into_iter().collect(),
            _ => Vec::new(),
        };
        Lazy::with_axes(&self.session, element, &axes)
    }

    /// The names in a mapping (`layers`, `obsm`, …), in the order of the store.
    pub fn keys(&self, place: &str) -> Result<Vec<String>> {
        let element = self.find(place, "", place)?;
        Ok(element.children().into_iter().map(|(n, _)| n).collect())
    }

    /// Whether this element is among the chosen: `None` chooses all; a name chooses itself and what is below it.
    fn chosen(path: &str, elements: Option<&[String]>) -> bool {
        elements.is_none_or(|all| {
            all.iter().any(|e| {
                path == e || path.starts_with(&format!("{e}/")) || e.starts_with(&format!("{path}/"))
            })
        })
    }

    fn want(&self, obs: &Index, var: &Index, elements: Option<&[String]>, want: &mut Want) -> Result<Recipe> {
        let mut parts = Vec::new();
        for (place, child) in self.element.children() {
            if !Self::chosen(&place, elements) && !matches!(&*place, "obs" | "var") {
                continue;
            }
            let axes: Vec<Index> = match &*place {
                "X" | "layers" => vec![obs.clone(), var.clone()],
                "obs" | "obsm" => vec![obs.clone()],
                "var" | "varm" => vec![var.clone()],
                "obsp" => vec![obs.clone(), obs.clone()],
                "varp" => vec![var.clone(), var.clone()],
                _ => Vec::new(),
            };
            let recipe = match (&child.body, &*place) {
                (Body::Raw(raw), _) => {
                    let mut inner = Vec::new();
                    if let Some(x) = &raw.x {
                        inner.push(("X".to_owned(), want.add(x, std::slice::from_ref(obs), None)?));
                    }
                    inner.push(("var".to_owned(), want.add(&raw.var, &[], None)?));
                    inner.push(("varm".to_owned(), want.add(&raw.varm, &[], None)?));
                    Recipe::Map(inner)
                }
                (Body::Dict(children), _) => {
                    let mut inner = Vec::new();
                    for (name, element) in children.iter() {
                        if Self::chosen(&format!("{place}/{name}"), elements) {
                            inner.push((name.clone(), want.add(element, &axes, None)?));
                        }
                    }
                    Recipe::Map(inner)
                }
                (Body::DataFrame(frame), "obs" | "var") if elements.is_some() => {
                    // Columns as they are chosen.
                    let columns: Vec<String> = frame
                        .columns
                        .iter()
                        .map(|(n, _)| n.clone())
                        .filter(|n| Self::chosen(&format!("{place}/{n}"), elements))
                        .collect();
                    want.add(&child, &axes, Some(&columns))?
                }
                _ => want.add(&child, &axes, None)?,
            };
            parts.push((place, recipe));
        }
        Ok(Recipe::Map(parts))
    }

    /// What reading it would cost. `elements` chooses elements by path (`X`, `obs/batch`, `obsm`); names of cells and
    /// genes are always read.
    pub fn plan(&self, call: &Call<'_>, elements: Option<&[String]>, resolve: bool) -> Result<Plan> {
        self.check_chosen(elements)?;
        let run = Run::new(&self.session, call);
        let of = |path: &str| {
            let inside = path.strip_prefix(&*self.element.path).unwrap_or(path).trim_start_matches('/');
            match inside.split('/').next().unwrap_or_default() {
                "X" | "layers" => vec![0, 1],
                "obs" | "obsm" => vec![0],
                "var" | "varm" => vec![1],
                "obsp" => vec![0, 0],
                "varp" => vec![1, 1],
                "raw" if inside == "raw/X" => vec![0],
                _ => Vec::new(),
            }
        };
        plan_of(&run, &[self.obs.clone(), self.var.clone()], resolve, &of, &mut |indices| {
            let mut want = Want { skip_broken: true, ..Want::default() };
            self.want(&indices[0], &indices[1], elements, &mut want)?;
            Ok(want)
        })
    }

    /// What it would cost to read `elements` and to know where each of `cut` is cut into blocks; see [`Lazy::cuts`].
    pub fn plan_cuts(
        &self,
        call: &Call<'_>,
        elements: &[String],
        cut: &[String],
        resolve: bool,
    ) -> Result<Plan> {
        let mut plan = self.plan(call, Some(elements), resolve)?;
        for path in cut {
            plan.then(self.get(path)?.plan_cuts(call)?);
        }
        Ok(plan)
    }

    /// Reads it: a [`Value::Map`] of the places.
    pub fn collect(&self, call: &Call<'_>, elements: Option<&[String]>) -> Result<Value> {
        self.check_chosen(elements)?;
        let children = self.element.children();
        let read = children.iter().filter(|(place, _)| Self::chosen(place, elements)).map(|(_, child)| child);
        let run = Run::for_elements(&self.session, call, read, &[self.obs.clone(), self.var.clone()]);
        let (obs, var) = (self.obs.resolve(&run)?, self.var.resolve(&run)?);
        run.read(&|| {
            let mut want = Want { skip_broken: call.skip_broken, nameless: call.nameless, ..Want::default() };
            let recipe = self.want(&obs, &var, elements, &mut want)?;
            Ok((want, recipe))
        })
    }

    /// Reads it, as a future; see [`Pending`].
    pub fn collect_async(&self, call: Call<'static>, elements: Option<Vec<String>>) -> Pending<Value> {
        let this = self.clone();
        Pending::call(call, move |call| this.collect(call, elements.as_deref()))
    }

    fn check_chosen(&self, elements: Option<&[String]>) -> Result<()> {
        for path in elements.unwrap_or_default() {
            let (place, rest) = path.split_once('/').unwrap_or((path, ""));
            // An AnnData has every place, written or not.
            if rest.is_empty() && (MAPPINGS.contains(&place) || matches!(place, "X" | "raw" | "obs" | "var"))
            {
                continue;
            }
            self.find(place, rest, path)?;
        }
        Ok(())
    }

    /// Reads what its selection needs (names, columns of predicates), so that its shape is known.
    pub fn resolve(&self, call: &Call<'_>) -> Result<()> {
        let run = Run::new(&self.session, call);
        self.obs.resolve(&run)?;
        self.var.resolve(&run).map(|_| ())
    }
}
