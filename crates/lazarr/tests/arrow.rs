//! What has an Arrow form has it without rows, too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what goes wrong here fails one")]

mod common;

use std::sync::Arc;

use lazarr::{Call, Step, arrow};
use lazarr_testkit::{Sample, Spec};

#[test]
fn a_table_without_rows_keeps_its_columns() {
    let sample = Sample::new(&Spec::default());
    let session = common::open(Arc::new(sample.writer.store()), true, 2);
    let obs = common::adata(&session).get("obs").unwrap();
    for rows in [0, 1, 60] {
        let part = obs.select(0, Step::Slice(None, Some(rows), None)).unwrap();
        let batch = arrow::to_batch(part.collect(&Call::default()).unwrap(), "obs").unwrap();
        assert_eq!((batch.num_rows() as i64, batch.num_columns()), (rows, sample.obs.len() + 1));
    }
}
