//! Mean and variance of parts, put together.

use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::{Mark, Plan};

use super::body::{Concat, Kind};
use super::cast::cast;
use crate::buffer::Buffer;
use crate::call::{Call, Run};
use crate::lazy::Lazy;
use crate::rearrange::NONE;
use crate::reduce::MeanVar;
use crate::value::Dense;

/// How many values there are, their mean, and the sum of squared differences from it.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moment {
    /// Both together, as Chan and others have it.
    fn and(self, other: Self) -> Self {
        if self.n == 0.0 {
            return other;
        }
        if other.n == 0.0 {
            return self;
        }
        let n = self.n + other.n;
        let apart = other.mean - self.mean;
        // Means that are both infinite have no distance, and a variance that is no number.
        Self {
            n,
            mean: self.mean + apart * (other.n / n),
            squares: self.squares + other.squares + apart * apart * (self.n * other.n / n),
        }
    }
}

fn numbers(d: &Dense) -> impl Iterator<Item = f64> + '_ {
    d.data.as_slice().as_chunks::<8>().0.iter().map(|b| f64::from_ne_bytes(*b))
}

impl Concat {
    fn fill(&self, run: &Run<'_>) -> Result<f64> {
        let Kind::Dense { dtype, fill } = &self.kind else { return Ok(0.0) };
        let item = Buffer::copy_of(fill, &run.cx.budget, "a number")?;
        let item = cast(item, dtype, &DataType::Float(8), &run.cx)?;
        Ok(item.as_slice().first_chunk().map_or(f64::NAN, |b| f64::from_ne_bytes(*b)))
    }

    /// Each part is read once, one after the other.
    pub(crate) fn mean_var(&self, of: &Lazy, call: &Call<'_>, axis: usize, ddof: u64) -> Result<MeanVar> {
        let run = Run::new(of.session(), call);
        let (parts, order) = self.stretches(of, &run)?;
        let [rows, columns] = of.axes() else {
            return Err(Error::new(Code::Internal, "a matrix has two axes"));
        };
        let (rows, columns) = (rows.resolve(&run)?, columns.resolve(&run)?);
        let fill = self.fill(&run)?;
        let results = if axis == 0 { columns.len() } else { rows.len() };
        let _held = run.cx.budget.charge(results.saturating_mul(48), "mean and variance of each part")?;
        let mut moments = if axis == 0 {
            vec![Moment::default(); columns.len() as usize]
        } else {
            Vec::with_capacity(rows.len() as usize)
        };
        let (lengths, _) = self.split(&rows)?;
        for (part, mine) in parts.into_iter().zip(&lengths) {
            let n = mine.len();
            if n == 0 {
                continue;
            }
            let found = match &part {
                Some(stretch) if stretch.lazy.shape().get(1).copied().flatten() != Some(0) => {
                    Some(stretch.lazy.mean_var(call, axis, 0)?)
                }
                _ => None,
            };
            let width = found.as_ref().map_or(0, |_| {
                part.as_ref().and_then(|s| s.lazy.shape().get(1).copied().flatten()).unwrap_or(0)
            });
            if axis == 1 {
                let gaps = match part.as_ref().and_then(|s| s.to.as_ref()) {
                    Some(to) => columns.len() - to.iter().filter(|t| **t != NONE).count() as u64,
                    None => columns.len() - width,
                };
                let filled = Moment { n: gaps as f64, mean: fill, squares: 0.0 };
                match &found {
                    Some(found) => {
                        let own = width as f64;
                        for (mean, var) in numbers(&found.mean).zip(numbers(&found.var)) {
                            moments.push(Moment { n: own, mean, squares: var * own }.and(filled));
                        }
                    }
                    None => moments.extend((0..n).map(|_| filled)),
                }
                continue;
            }
            let mut own = vec![Moment { n: n as f64, mean: fill, squares: 0.0 }; columns.len() as usize];
            if let (Some(found), Some(stretch)) = (&found, &part) {
                for (k, (mean, var)) in numbers(&found.mean).zip(numbers(&found.var)).enumerate() {
                    let to = stretch.to.as_ref().map_or(k as u64, |to| to.get(k).copied().unwrap_or(NONE));
                    if let Some(place) = usize::try_from(to).ok().and_then(|to| own.get_mut(to)) {
                        *place = Moment { n: n as f64, mean, squares: var * n as f64 };
                    }
                }
            }
            for (sum, own) in moments.iter_mut().zip(own) {
                *sum = sum.and(own);
            }
        }
        let mut mean = Buffer::zeroed(results.saturating_mul(8), &run.cx.budget, "the means")?;
        let mut var = Buffer::zeroed(results.saturating_mul(8), &run.cx.budget, "the variances")?;
        let (means, vars) =
            (mean.as_mut_slice().as_chunks_mut::<8>().0, var.as_mut_slice().as_chunks_mut::<8>().0);
        for (k, (mean, var)) in means.iter_mut().zip(vars).enumerate() {
            let at = match &order {
                Some(order) if axis == 1 => order.get(k).map_or(usize::MAX, |at| *at as usize),
                _ => k,
            };
            let moment = moments.get(at).copied().filter(|m| m.n > 0.0);
            let moment = moment.unwrap_or(Moment { n: 0.0, mean: f64::NAN, squares: f64::NAN });
            *mean = moment.mean.to_ne_bytes();
            *var = (moment.squares / (moment.n - ddof as f64).max(0.0)).to_ne_bytes();
        }
        let dense = |data| Dense { dtype: DataType::Float(8), shape: vec![results], data };
        Ok(MeanVar { mean: dense(mean), var: dense(var) })
    }

    pub(crate) fn plan_mean_var(
        &self,
        of: &Lazy,
        call: &Call<'_>,
        axis: usize,
        resolve: bool,
    ) -> Result<Plan> {
        if resolve {
            of.resolve(call)?;
        }
        if of.axes().iter().any(|a| a.index().is_none()) {
            let mut plan = of.plan(call, false)?;
            for element in &mut plan.elements {
                element.bound(Mark::Estimate, Mark::Estimate);
            }
            return Ok(plan);
        }
        let run = Run::new(of.session(), call);
        let mut plan = run.frame();
        for stretch in self.stretches(of, &run)?.0.into_iter().flatten().filter(|s| s.len > 0) {
            plan.then(stretch.lazy.plan_mean_var(call, axis, resolve)?);
        }
        Ok(plan)
    }
}
