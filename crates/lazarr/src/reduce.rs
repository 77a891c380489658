//! Reductions: numbers for each row or column of a matrix, from one pass over it.

use lazarr_format::anndata::Body;
use lazarr_format::{Code, DataType, Error, Result};
use lazarr_plan::{Index, Plan};

use crate::buffer::Buffer;
use crate::call::{Call, Run};
use crate::concat::concat_of;
use crate::lazy::{Lazy, plan_of};
use crate::program::{Leaf, Matrix, Moments, Sums, Want, is_number};
use crate::value::Dense;

/// Mean and variance for each place along an axis.
#[derive(Debug)]
pub struct MeanVar {
    /// The means: 1-d, float64.
    pub mean: Dense,
    /// The variances: 1-d, float64.
    pub var: Dense,
}

impl Lazy {
    /// Mean and variance of the selected rows for each selected column (`axis` 0), or of the columns for each row (1), as
    /// numpy computes them in float64. What a sparse matrix does not store is 0; an entry that it stores twice counts as
    /// two values.
    ///
    /// The matrix is read once, chunk by chunk, and nothing of it is kept. It is read again only where a variance is so
    /// small beside its mean that it was lost in rounding. The result is the same for any number of threads.
    pub fn mean_var(&self, call: &Call<'_>, axis: usize, ddof: u64) -> Result<MeanVar> {
        if let Some(concat) = concat_of(self.element()) {
            self.check_matrix(axis)?;
            return concat.mean_var(self, call, axis, ddof);
        }
        let run = Run::new(self.session(), call);
        let indices = self.matrix_indices(&run, axis)?;
        let matrix = self.matrix(&indices, axis)?;
        let picks = picks(&matrix, &indices[1 - axis]);
        let n = indices[axis].len() as f64;
        let read = |centre: Option<&Sums>| -> Result<Sums> {
            let (_, leaves) = run.leaves(&|| {
                let moments = match centre {
                    Some(sums) => Moments::centred(matrix.clone(), sums.means(n)),
                    None => Moments::new(matrix.clone()),
                };
                Ok(Want::one(self.element(), moments))
            })?;
            match leaves.into_iter().flatten().next() {
                Some(Leaf::Sums(sums)) => Ok(sums),
                _ => Err(Error::new(Code::Internal, "no sums came")),
            }
        };
        let sums = read(None)?;
        let len = picks.len();
        let mut mean = Buffer::zeroed(len.saturating_mul(8), &run.cx.budget, "the means")?;
        let mut var = Buffer::zeroed(len.saturating_mul(8), &run.cx.budget, "the variances")?;
        let mut write = |again: Option<&Sums>| {
            let mut lost = false;
            let means = mean.as_mut_slice().as_chunks_mut::<8>().0;
            let vars = var.as_mut_slice().as_chunks_mut::<8>().0;
            for ((at, mean), var) in picks.iter().zip(means).zip(vars) {
                let first = sums.moments(at, n);
                let best = match again {
                    Some(again) if first.lost => again.moments(at, n),
                    _ => first,
                };
                lost |= first.lost;
                *mean = best.mean.to_ne_bytes();
                // As numpy: no degrees of freedom are left is a division by zero.
                *var = (best.squares / (n - ddof as f64).max(0.0)).to_ne_bytes();
            }
            lost
        };
        if write(None) {
            let _means = run.cx.budget.charge(8 * sums.sums.len() as u64, "the means")?;
            write(Some(&read(Some(&sums))?));
        }
        let dense = |data| Dense { dtype: DataType::Float(8), shape: vec![len], data };
        Ok(MeanVar { mean: dense(mean), var: dense(var) })
    }

    /// What [`Lazy::mean_var`] would cost; see [`Lazy::plan`].
    pub fn plan_mean_var(&self, call: &Call<'_>, axis: usize, resolve: bool) -> Result<Plan> {
        let run = Run::new(self.session(), call);
        let all = |_: &str| (0..self.axes().len()).collect();
        self.check_matrix(axis)?;
        if let Some(concat) = concat_of(self.element()) {
            return concat.plan_mean_var(self, call, axis, resolve);
        }
        plan_of(&run, self.axes(), resolve, &all, &mut |indices| {
            let matrix = self.matrix(indices, axis)?;
            let (mut want, _) = Want::one(self.element(), Moments::new(matrix));
            for label in &mut want.labels {
                label.selection = indices.iter().map(Index::to_string).collect::<Vec<_>>().join(", ");
                label.notes.push(
                    "mean and variance: chunks are added up and not kept; a variance that is lost in rounding beside \
                     its mean is read for again"
                        .into(),
                );
            }
            Ok(want)
        })
    }

    fn check_matrix(&self, axis: usize) -> Result<()> {
        let refuse = |found: String| {
            Err(Error::new(Code::Operation, "mean and variance are those of a matrix of numbers")
                .element(&*self.element().path)
                .expected("a sparse or dense matrix of integers, floats or booleans")
                .found(found))
        };
        match &self.element().body {
            Body::Broken(e) => return Err(e.again().element(&*self.element().path)),
            Body::Sparse(_) => {}
            Body::Joined(_) if self.element().shape().is_some_and(|s| s.len() == 2) => {}
            Body::Dense(a) if a.shape.len() == 2 && a.part.is_none() => {}
            Body::Dense(a) => return refuse(format!("an array of {} axes", a.shape.len())),
            _ => return refuse(crate::describe(self.element())),
        }
        if self.dropped().contains(&true) {
            return refuse("a row or column of it".into());
        }
        if !self.dtype().is_some_and(|d| is_number(&d)) {
            return refuse(self.dtype().map_or_else(String::new, |d| d.to_string()));
        }
        if axis > 1 {
            return Err(Error::new(Code::IndexKind, "a matrix has the axes 0 and 1").found(axis.to_string()));
        }
        Ok(())
    }

    fn matrix_indices(&self, run: &Run<'_>, axis: usize) -> Result<[Index; 2]> {
        self.check_matrix(axis)?;
        let [rows, columns] = self.axes() else {
            return Err(Error::new(Code::Internal, "a matrix has two axes"));
        };
        Ok([rows.resolve(run)?, columns.resolve(run)?])
    }

    fn matrix(&self, indices: &[Index], axis: usize) -> Result<Matrix> {
        let [rows, columns] = indices else {
            return Err(Error::new(Code::Internal, "a matrix has two axes"));
        };
        let lengths = self.element().shape().unwrap_or_default();
        for (index, n) in indices.iter().zip(lengths) {
            index.check_axis(n).map_err(|e| e.element(&*self.element().path))?;
        }
        match &self.element().body {
            Body::Sparse(sparse) => {
                let by_row = sparse.format.major_axis() != axis;
                let (major, minor) =
                    if sparse.format.major_axis() == 0 { (rows, columns) } else { (columns, rows) };
                let (major, minor) = (major.clone(), minor.clone());
                Ok(Matrix::Sparse { sparse: sparse.clone(), major, minor, by_row })
            }
            Body::Dense(array) => {
                let axes = [rows.clone(), columns.clone()];
                Ok(Matrix::Dense { array: array.clone(), axes, kept: 1 - axis })
            }
            _ => Err(Error::new(Code::Internal, "this is no matrix")),
        }
    }
}

/// Which of the results that are kept are wanted, in order.
fn picks(matrix: &Matrix, wanted: &Index) -> Index {
    match matrix {
        Matrix::Sparse { by_row: true, .. } => wanted.expansion(),
        Matrix::Sparse { .. } => wanted.clone(),
        Matrix::Dense { .. } => Index::all(wanted.len()),
    }
}

/// Of one result.
#[derive(Debug, Clone, Copy)]
struct Moment {
    mean: f64,
    /// The sum of squared differences from the mean.
    squares: f64,
    /// Whether that is what rounding has left of two large numbers.
    lost: bool,
}

impl Sums {
    fn of(&self, at: u64) -> Option<&[f64; 2]> {
        self.sums.as_chunks().0.get(at as usize)
    }

    /// The means, as numbers to subtract: finite.
    fn means(&self, n: f64) -> Vec<f64> {
        let mean = |s: &[f64; 2]| s[0] / n;
        self.sums.as_chunks().0.iter().map(mean).map(|m| if m.is_finite() { m } else { 0.0 }).collect()
    }

    fn moments(&self, at: u64, n: f64) -> Moment {
        if self.centred {
            let [sum, squares, centre, count] =
                self.sums.as_chunks().0.get(at as usize).copied().unwrap_or_default();
            // What is not stored is 0, and differs from the centre by all of it. Nothing does, where the square of that is
            // beyond float64 and all are stored.
            let zeros = n - count;
            let (less, more) =
                if zeros > 0.0 { (zeros * centre, zeros * (centre * centre)) } else { (0.0, 0.0) };
            let rest = sum - less;
            let squares = squares + more - rest * rest / n;
            return Moment { mean: centre + rest / n, squares: at_least_zero(squares), lost: false };
        }
        let [sum, squares] = self.of(at).copied().unwrap_or_default();
        let mean = sum / n;
        if let Some(squares) = exact(sum, squares, n) {
            return Moment { mean, squares, lost: false };
        }
        let left = squares - sum * mean;
        // Rounding grows like the root of how many numbers are added one after the other.
        let each = (n / self.lanes.max(1) as f64).sqrt() + (self.lanes as f64).sqrt();
        let noise = f64::EPSILON * each * squares;
        // Squares too large to be added are lost, too: hence no `>=`.
        let kept = noise < left * 2e-11;
        let lost = sum.is_finite() && n > 0.0 && squares != 0.0 && !kept;
        Moment { mean, squares: at_least_zero(left), lost }
    }
}

fn at_least_zero(x: f64) -> f64 {
    // Not `max`, which would swallow NaN.
    if x < 0.0 { 0.0 } else { x }
}

/// Sums that are integers far below what a float64 holds were added without rounding: counts. Then so is the rest.
fn exact(sum: f64, squares: f64, n: f64) -> Option<f64> {
    const MOST: f64 = (1u64 << 44) as f64;
    let whole = |x: f64| x.fract() == 0.0 && x.abs() < MOST;
    (n > 0.0 && n < MOST && whole(sum) && whole(squares)).then(|| {
        let (sum, squares, n) = (sum as i128, squares as i128, n as i128);
        (n * squares - sum * sum) as f64 / n as f64
    })
}

#[cfg(test)]
#[path = "reduce_tests.rs"]
mod tests;
