//! Expressions in their wire form or as the text of a query, bound to columns of any type and asked of a block of rows.

use lazarr_format::{Code, DataType};
use lazarr_plan::expr::{AxisId, CategoryValues, ColumnBlock, ColumnRef, ColumnSchema, Expr};

use crate::feed::Feed;

const ROWS: usize = 8;

/// A type of column that the first byte chooses.
fn schema(choice: u8) -> ColumnSchema {
    let ordered = choice & 16 != 0;
    let words = || ["a", "", "b c", "É", "zz"].map(str::to_owned).to_vec();
    match choice & 15 {
        0 => ColumnSchema::Numeric(DataType::Int(4)),
        1 => ColumnSchema::Numeric(DataType::UInt(8)),
        2 => ColumnSchema::Numeric(DataType::Float(4)),
        3 => ColumnSchema::Numeric(DataType::Float(8)),
        4 => ColumnSchema::Bool,
        5 => ColumnSchema::Strings,
        6 => ColumnSchema::NullableInteger(DataType::Int(8)),
        7 => ColumnSchema::NullableBoolean,
        8 => ColumnSchema::NullableString { nan: ordered },
        9 => ColumnSchema::Time(DataType::Int(8)),
        10 => ColumnSchema::Other("awkward".to_owned()),
        11 => ColumnSchema::Categorical { categories: CategoryValues::Int(vec![3, -1, 7, 3, 0]), ordered },
        12 => ColumnSchema::Categorical {
            categories: CategoryValues::Float(vec![0.5, f64::NAN, -1.0]),
            ordered,
        },
        13 => ColumnSchema::Categorical { categories: CategoryValues::Bool(vec![true, false]), ordered },
        _ => ColumnSchema::Categorical {
            categories: CategoryValues::Strings { values: words(), na: choice & 32 != 0 },
            ordered,
        },
    }
}

/// So many bytes of the input, over and over.
fn fixed(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.iter().copied().chain(std::iter::repeat(0)).take(len).collect()
}

/// By the first byte the type of the columns; then the expression, a zero byte, and the rows.
pub fn expressions(data: &[u8]) {
    let mut feed = Feed(data);
    let choice = feed.byte();
    let mut parts = feed.0.splitn(2, |&b| b == 0);
    let (text, rows) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(text) = std::str::from_utf8(text) else { return };
    let expr = if choice & 0x80 == 0 {
        Expr::from_json(text)
    } else {
        let parsed =
            Expr::parse(text, &|name| Ok(ColumnRef::new(AxisId(7), format!("obs/{name}"), Some(name))));
        assert!(parsed.as_ref().err().is_none_or(|e| e.code() == Code::Expression));
        parsed
    };
    let Ok(expr) = expr else { return };
    // What is written again is the same expression (floats that are no numbers are not equal to themselves).
    let json = expr.to_json().unwrap();
    let again = Expr::from_json(&json).unwrap();
    assert_eq!(again.to_json().unwrap(), json);
    assert_eq!(format!("{again:?}"), format!("{expr:?}"));
    assert!(!expr.to_string().is_empty());
    let columns = expr.columns();
    assert!(!columns.is_empty());
    let schemas: Vec<_> =
        columns.iter().enumerate().map(|(k, c)| (c.clone(), schema(choice.wrapping_add(k as u8)))).collect();
    let bound = match expr.bind(&schemas) {
        Ok(bound) => bound,
        Err(e) => {
            assert!(matches!(e.code(), Code::Expression | Code::ForeignPredicate), "{e}");
            return;
        }
    };
    let numbers = fixed(rows, ROWS * 8);
    let mask = fixed(rows.get(8..).unwrap_or_default(), ROWS);
    let words = ["", "a", "b c", "É", "zz", "a\u{301}", "7", "nan"];
    let bytes = words.concat().into_bytes();
    let mut offsets = vec![0u64];
    for word in words {
        offsets.push(offsets.last().unwrap() + word.len() as u64);
    }
    let blocks: Vec<ColumnBlock<'_>> = schemas
        .iter()
        .map(|(_, schema)| match schema {
            ColumnSchema::Numeric(dtype) | ColumnSchema::Time(dtype) => ColumnBlock::Fixed {
                dtype: dtype.clone(),
                bytes: &numbers[..ROWS * dtype.item_size().unwrap()],
            },
            ColumnSchema::Bool => ColumnBlock::Fixed { dtype: DataType::Bool, bytes: &numbers[..ROWS] },
            ColumnSchema::Strings | ColumnSchema::Other(_) => {
                ColumnBlock::Strings { offsets: &offsets, bytes: &bytes }
            }
            ColumnSchema::NullableInteger(dtype) => {
                ColumnBlock::NullableFixed { dtype: dtype.clone(), bytes: &numbers, mask: &mask }
            }
            ColumnSchema::NullableBoolean => {
                ColumnBlock::NullableFixed { dtype: DataType::Bool, bytes: &numbers[..ROWS], mask: &mask }
            }
            ColumnSchema::NullableString { .. } => {
                ColumnBlock::NullableStrings { offsets: &offsets, bytes: &bytes, mask: &mask }
            }
            ColumnSchema::Categorical { .. } => {
                ColumnBlock::Codes { dtype: DataType::Int(1), bytes: &numbers[..ROWS] }
            }
        })
        .collect();
    match bound.eval(&blocks) {
        Ok(answers) => {
            assert_eq!(answers.len(), ROWS as u64);
            let selected = answers.selected();
            assert!(!selected.has_na());
            let count = selected.count();
            assert_eq!((0..ROWS as u64).filter(|&i| selected.get(i) == Some(true)).count() as u64, count);
            assert_eq!(selected.into_index(ROWS as u64).unwrap().len(), count);
        }
        Err(e) => assert!(matches!(e.code(), Code::CategoryCode | Code::Misaligned), "{e}"),
    }
}
