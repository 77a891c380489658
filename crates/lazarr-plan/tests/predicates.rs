//! What pandas answers to a few thousand predicates, replayed. `data/make_predicates.py` made the table.
//!
//! One difference is meant, and not in the table: where the list of an `isin` on a nullable integer column holds both an
//! integer of 2^63 or more and one beyond 2^53, pandas compares rounded numbers; here they are compared exactly.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of a test: a broken table should stop it")]

use std::collections::BTreeMap;

use lazarr_format::{Code, DataType};
use lazarr_plan::expr::{
    AxisId, CategoryValues, CmpOp, ColumnBlock, ColumnRef, ColumnSchema, Expr, Inclusive, Literal,
};
use serde_json::Value;

struct Column {
    name: ColumnRef,
    schema: ColumnSchema,
    bytes: Vec<u8>,
    mask: Vec<u8>,
    offsets: Vec<u64>,
    dtype: DataType,
}

fn text(v: &Value) -> String {
    v.as_str().unwrap().to_owned()
}

fn item(dtype: &DataType, v: &Value, out: &mut Vec<u8>) {
    fn put<T: std::str::FromStr + Default, const N: usize>(
        v: &Value,
        f: fn(T) -> [u8; N],
        out: &mut Vec<u8>,
    ) {
        out.extend(f(v.as_str().map_or_else(T::default, |t| t.parse().ok().unwrap())));
    }
    match dtype {
        DataType::Bool => out.push(u8::from(v.as_bool().unwrap_or_default())),
        DataType::Int(1) => put(v, i8::to_le_bytes, out),
        DataType::Int(2) => put(v, i16::to_le_bytes, out),
        DataType::Int(4) => put(v, i32::to_le_bytes, out),
        DataType::Int(8) | DataType::DateTime(_) => put(v, i64::to_le_bytes, out),
        DataType::UInt(1) => put(v, u8::to_le_bytes, out),
        DataType::UInt(2) => put(v, u16::to_le_bytes, out),
        DataType::UInt(4) => put(v, u32::to_le_bytes, out),
        DataType::UInt(8) => put(v, u64::to_le_bytes, out),
        DataType::Float(2) => {
            // The halves of the table, by their bits.
            let x: f64 = v.as_str().unwrap().parse().unwrap();
            let half: u16 = match x.to_string().as_str() {
                "0" => 0,
                "-0" => 0x8000,
                "1" => 0x3c00,
                "0.0999755859375" => 0x2e66,
                "inf" => 0x7c00,
                "-inf" => 0xfc00,
                "2.5" => 0x4100,
                "100" => 0x5640,
                "-3" => 0xc200,
                "NaN" => 0x7e00,
                other => panic!("{other}"),
            };
            out.extend(half.to_le_bytes());
        }
        DataType::Float(4) => put(v, f32::to_le_bytes, out),
        DataType::Float(8) => put(v, f64::to_le_bytes, out),
        other => panic!("{other}"),
    }
}

fn column(v: &Value) -> Column {
    let name = text(&v["name"]);
    let (path, key) =
        if name == "names" { ("obs/_index".into(), None) } else { (format!("obs/{name}"), Some(&name)) };
    let dtype = || DataType::from_numpy_str(&format!("<{}", text(&v["dtype"]))).unwrap().0;
    let rows = v["values"].as_array().unwrap();
    let (mut bytes, mut offsets) = (Vec::new(), vec![0]);
    let mask = rows.iter().map(|x| u8::from(x.is_null())).collect();
    let kind = text(&v["kind"]);
    let (schema, dtype) = match kind.as_str() {
        "numeric" => (ColumnSchema::Numeric(dtype()), dtype()),
        "bool" => (ColumnSchema::Bool, DataType::Bool),
        "strings" => (ColumnSchema::Strings, DataType::String),
        "nullable_string" => {
            (ColumnSchema::NullableString { nan: v["nan"].as_bool().unwrap() }, DataType::String)
        }
        "nullable_integer" => (ColumnSchema::NullableInteger(dtype()), dtype()),
        "nullable_boolean" => (ColumnSchema::NullableBoolean, DataType::Bool),
        "time" => {
            let ns = DataType::from_numpy_str("<M8[ns]").unwrap().0;
            (ColumnSchema::Time(ns.clone()), ns)
        }
        _ => {
            let categories = v["categories"].as_array().unwrap();
            let ctype = text(&v["ctype"]);
            let texts = || categories.iter().map(text).collect::<Vec<_>>();
            let values = match ctype.as_str() {
                "str" | "na" => CategoryValues::Strings { values: texts(), na: ctype == "na" },
                "int" => CategoryValues::Int(texts().iter().map(|x| x.parse().unwrap()).collect()),
                "uint" => CategoryValues::UInt(texts().iter().map(|x| x.parse().unwrap()).collect()),
                "float" => CategoryValues::Float(texts().iter().map(|x| x.parse().unwrap()).collect()),
                _ => CategoryValues::Bool(categories.iter().map(|x| x.as_bool().unwrap()).collect()),
            };
            for row in rows {
                let code = categories.iter().position(|c| c == row).map_or(-1, |i| i as i16);
                bytes.extend(code.to_le_bytes());
            }
            let ordered = v["ordered"].as_bool().unwrap();
            (ColumnSchema::Categorical { categories: values, ordered }, DataType::Int(2))
        }
    };
    if kind != "categorical" {
        for row in rows {
            if dtype == DataType::String {
                bytes.extend(row.as_str().unwrap_or_default().bytes());
                offsets.push(bytes.len() as u64);
            } else {
                item(&dtype, row, &mut bytes);
            }
        }
    }
    Column {
        name: ColumnRef::new(AxisId(7), path, key.map(String::as_str)),
        schema,
        bytes,
        mask,
        offsets,
        dtype,
    }
}

impl Column {
    fn block(&self) -> ColumnBlock<'_> {
        let (bytes, mask, offsets) = (&self.bytes[..], &self.mask[..], &self.offsets[..]);
        match self.schema {
            ColumnSchema::Strings => ColumnBlock::Strings { offsets, bytes },
            ColumnSchema::NullableString { .. } => ColumnBlock::NullableStrings { offsets, bytes, mask },
            ColumnSchema::Categorical { .. } => ColumnBlock::Codes { dtype: self.dtype.clone(), bytes },
            ColumnSchema::NullableInteger(_) | ColumnSchema::NullableBoolean => {
                ColumnBlock::NullableFixed { dtype: self.dtype.clone(), bytes, mask }
            }
            _ => ColumnBlock::Fixed { dtype: self.dtype.clone(), bytes },
        }
    }
}

fn literal(v: &Value) -> Literal {
    match v {
        Value::Bool(x) => Literal::Bool(*x),
        Value::String(x) => Literal::Str(x.clone()),
        _ => match v[0].as_str().unwrap() {
            "n" => Literal::Null,
            "na" => Literal::Na,
            "i" => Literal::Int(text(&v[1]).parse().unwrap()),
            "f" => Literal::Float(text(&v[1]).parse().unwrap()),
            _ => Literal::Float64(text(&v[1]).parse().unwrap()),
        },
    }
}

fn expression(columns: &BTreeMap<String, Column>, v: &Value) -> Expr {
    let sub = |i: usize| expression(columns, &v[i]);
    let column = || columns[v[1].as_str().unwrap()].name.clone();
    let list = |v: &Value| v.as_array().unwrap().iter().map(text).collect();
    match v[0].as_str().unwrap() {
        "and" => sub(1).and(sub(2)),
        "or" => sub(1).or(sub(2)),
        "xor" => sub(1).xor(sub(2)),
        "not" => sub(1).not(),
        "col" => Expr::Column(column()),
        "isna" => Expr::IsNa(column()),
        "notna" => Expr::NotNa(column()),
        "sw" => Expr::StartsWith { column: column(), prefix: list(&v[2]) },
        "ew" => Expr::EndsWith { column: column(), suffix: list(&v[2]) },
        "ct" => Expr::Contains {
            column: column(),
            pattern: text(&v[2]),
            regex: v[3].as_bool().unwrap(),
            case: v[4].as_bool().unwrap(),
        },
        "isin" => {
            Expr::IsIn { column: column(), values: v[2].as_array().unwrap().iter().map(literal).collect() }
        }
        "between" => Expr::Between {
            column: column(),
            low: literal(&v[2]),
            high: literal(&v[3]),
            inclusive: match v[4].as_str().unwrap() {
                "both" => Inclusive::Both,
                "neither" => Inclusive::Neither,
                "left" => Inclusive::Left,
                _ => Inclusive::Right,
            },
        },
        _ => {
            let op = match v[2].as_str().unwrap() {
                "eq" => CmpOp::Eq,
                "ne" => CmpOp::Ne,
                "lt" => CmpOp::Lt,
                "le" => CmpOp::Le,
                "gt" => CmpOp::Gt,
                _ => CmpOp::Ge,
            };
            Expr::cmp(column(), op, literal(&v[3]))
        }
    }
}

#[test]
fn pandas_answers() {
    let table: Value = serde_json::from_str(include_str!("data/predicates.json")).unwrap();
    let columns: BTreeMap<String, Column> =
        table["columns"].as_array().unwrap().iter().map(|v| (text(&v["name"]), column(v))).collect();
    let mut wrong = Vec::new();
    let cases = table["cases"].as_array().unwrap();
    for case in cases {
        let expr = expression(&columns, &case[0]);
        let again = Expr::from_json(&expr.to_json().unwrap()).unwrap();
        assert_eq!(again.to_string(), expr.to_string());
        let named = expr.columns();
        let all: Vec<_> = columns.values().filter(|c| named.contains(&c.name)).collect();
        let schemas: Vec<_> = all.iter().map(|c| (c.name.clone(), c.schema.clone())).collect();
        let blocks: Vec<_> = all.iter().map(|c| c.block()).collect();
        let got = match again.bind(&schemas).and_then(|b| b.eval(&blocks)) {
            Ok(mask) => (0..mask.len())
                .map(|i| match mask.get(i) {
                    Some(true) => 'T',
                    Some(false) => 'F',
                    None => 'N',
                })
                .collect(),
            Err(e) => {
                assert_eq!(e.code(), Code::Expression, "{e}");
                assert!(e.help_text().is_some(), "{e}");
                "E".to_owned()
            }
        };
        if got != case[1].as_str().unwrap() {
            wrong.push(format!("{} {} -> {got}, pandas {}", case[0], again, case[1]));
        }
    }
    assert!(cases.len() > 2500);
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
