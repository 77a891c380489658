//! The inner loops, timed: `cargo bench --package lazarr`. What is too small for a clock is counted in instructions by
//! `make bench-instructions`.
#![allow(missing_docs, reason = "criterion's macros make functions")]

mod work;

use criterion::{Criterion, criterion_group, criterion_main};
use lazarr_testkit::Codec;

fn loops(c: &mut Criterion) {
    for (layout, codec) in [("lz4", Codec::BloscLz4), ("zstd", Codec::Zstd)] {
        let adata = work::open(codec);
        let mut group = c.benchmark_group(layout);
        for name in work::NAMES {
            group.bench_function(name, |b| b.iter(|| work::run(&adata, name)));
        }
        group.finish();
    }
}

criterion_group!(benches, loops);
criterion_main!(benches);
