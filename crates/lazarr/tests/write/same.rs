//! Whether two values are the same.

use lazarr::Value;

/// Fails where they differ.
pub(crate) fn same(a: &Value, b: &Value, at: &str) {
    match (a, b) {
        (Value::Null, Value::Null) => {}
        (Value::Dense(a), Value::Dense(b)) => {
            assert_eq!((&a.dtype, &a.shape), (&b.dtype, &b.shape), "{at}");
            assert!(a.data.as_slice() == b.data.as_slice(), "{at}");
        }
        (Value::Strings(a), Value::Strings(b)) => {
            assert_eq!((a.shape(), a.offsets(), a.bytes()), (b.shape(), b.offsets(), b.bytes()), "{at}");
        }
        (Value::Sparse(a), Value::Sparse(b)) => {
            assert_eq!((a.format, a.shape, &a.dtype), (b.format, b.shape, &b.dtype), "{at}");
            assert_eq!(a.indptr.as_slice(), b.indptr.as_slice(), "{at}: indptr");
            assert_eq!(a.indices.as_slice(), b.indices.as_slice(), "{at}: indices");
            assert!(a.data.as_slice() == b.data.as_slice(), "{at}: data");
        }
        (
            Value::Categorical { codes: ca, categories: a, ordered: oa },
            Value::Categorical { codes: cb, categories: b, ordered: ob },
        ) => {
            assert_eq!(oa, ob, "{at}");
            // Codes are written in the smallest integers that hold them.
            assert_eq!(ints(ca), ints(cb), "{at}");
            same(a, b, at);
        }
        (
            Value::Nullable { values: a, mask: ma, kind: ka },
            Value::Nullable { values: b, mask: mb, kind: kb },
        ) => {
            assert_eq!((ka, ma.data.as_slice()), (kb, mb.data.as_slice()), "{at}");
            same(a, b, at);
        }
        (Value::Table(a), Value::Table(b)) => {
            assert_eq!((&a.index_name, a.len), (&b.index_name, b.len), "{at}");
            same(a.index.as_ref().unwrap(), b.index.as_ref().unwrap(), at);
            assert_eq!(a.columns.len(), b.columns.len(), "{at}");
            for ((n, a), (m, b)) in a.columns.iter().zip(&b.columns) {
                assert_eq!(n, m, "{at}");
                same(a, b, &format!("{at}/{n}"));
            }
        }
        (
            Value::Awkward { form, length, buffers, .. },
            Value::Awkward { form: f, length: l, buffers: b, .. },
        ) => {
            assert_eq!((form, length, buffers.len()), (f, l, b.len()), "{at}");
            for ((n, a), (m, b)) in buffers.iter().zip(b) {
                assert_eq!(n, m, "{at}");
                same(a, b, at);
            }
        }
        (Value::Map(a), Value::Map(b)) => {
            let names = |m: &[(String, Value)]| m.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
            assert_eq!(names(a), names(b), "{at}");
            for ((n, a), (_, b)) in a.iter().zip(b) {
                same(a, b, &format!("{at}/{n}"));
            }
        }
        (a, b) => panic!("{at}: {a:?} and {b:?}"),
    }
}

fn ints(codes: &lazarr::Dense) -> Vec<i64> {
    let size = codes.dtype.item_size().unwrap();
    let int = |b: &[u8]| {
        let sign = if b.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        wide[..b.len()].copy_from_slice(b);
        i64::from_le_bytes(wide)
    };
    codes.data.as_slice().chunks_exact(size).map(int).collect()
}
