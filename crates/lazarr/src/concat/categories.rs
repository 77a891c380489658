//! The categories of several parts as one list.

use std::cmp::Ordering;
use std::collections::HashMap;

use lazarr_format::{Code, DataType, Error, Result};

use crate::buffer::Buffer;
use crate::program::{Cx, texts};
use crate::rearrange::StringsOut;
use crate::resolve::{floats, integers};
use crate::value::{Dense, Value};

/// All categories, and what each part's codes become.
pub(crate) struct Union {
    pub(crate) categories: Value,
    pub(crate) len: u64,
    pub(crate) maps: Vec<Vec<u64>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Text(Vec<u8>),
    Int(i128),
    Float(f64),
}

impl Item {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone(),
            Self::Int(i) => i.to_ne_bytes().to_vec(),
            Self::Float(x) => (if *x == 0.0 { 0.0 } else { *x }).to_ne_bytes().to_vec(),
        }
    }
}

fn items(value: &Value) -> Result<Vec<Item>> {
    Ok(match value {
        Value::Null => Vec::new(),
        Value::Strings(s) => {
            (0..s.len()).map(|i| Item::Text(s.get(i).unwrap_or_default().to_vec())).collect()
        }
        Value::Nullable { values, .. } => items(values)?,
        Value::Dense(d) if d.dtype.is_integer() => {
            integers(&d.dtype, d.data.as_slice()).into_iter().map(Item::Int).collect()
        }
        Value::Dense(d) if d.dtype == DataType::Bool => {
            d.data.as_slice().iter().map(|b| Item::Int(i128::from(*b != 0))).collect()
        }
        Value::Dense(d) if matches!(d.dtype, DataType::Float(4 | 8)) => {
            floats(&d.dtype, d.data.as_slice()).into_iter().map(Item::Float).collect()
        }
        _ => {
            return Err(Error::new(Code::Operation, "categories of this kind cannot be united")
                .expected("text, integers, booleans or floats"));
        }
    })
}

/// Whether a list begins with all of another.
pub(crate) fn begins_with(list: &Value, first: &Value) -> Result<bool> {
    let (list, first) = (items(list)?, items(first)?);
    Ok(list.len() >= first.len() && list.iter().zip(&first).all(|(a, b)| a.key() == b.key()))
}

/// Whether all lists are one, but for those of nothing.
pub(crate) fn same(lists: &[Value]) -> Result<bool> {
    let all = lists.iter().map(items).collect::<Result<Vec<_>>>()?;
    let mut some = all.iter().filter(|list| !list.is_empty());
    let first = some.next();
    Ok(some.all(|list| Some(list) == first))
}

/// The categories of all parts: in natural order, or as they are where they have one of their own, or the first list has
/// all of them. `Null` is a part without.
pub(crate) fn unite(lists: Vec<Value>, ordered: bool, cx: &Cx) -> Result<Union> {
    // A part without the column has no list.
    let there: Vec<bool> = lists.iter().map(|list| !matches!(list, Value::Null)).collect();
    let known = |list| if matches!(list, Value::Null) { Ok(list) } else { texts(list, cx) };
    let lists = lists.into_iter().map(known).collect::<Result<Vec<_>>>()?;
    let all = lists.iter().map(items).collect::<Result<Vec<_>>>()?;
    let bytes =
        lists.iter().map(Value::bytes).sum::<u64>() + 160 * all.iter().map(|l| l.len() as u64).sum::<u64>();
    let _held = cx.budget.charge(bytes, "the categories of all parts")?;
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut union: Vec<Item> = Vec::new();
    for item in all.iter().flatten() {
        seen.entry(item.key()).or_insert_with(|| {
            union.push(item.clone());
            union.len() - 1
        });
    }
    let mut order: Vec<usize> = (0..union.len()).collect();
    // As pandas has it: where the first list has all of them, its order stays.
    let first = all.iter().zip(&there).find(|(_, there)| **there);
    if !ordered && first.is_some_and(|(list, _)| list.len() < union.len()) {
        order.sort_by(|&a, &b| compare(&union[a], &union[b]));
    }
    let mut rank = vec![0u64; union.len()];
    order.iter().enumerate().for_each(|(k, &i)| rank[i] = k as u64);
    let map = |list: &Vec<Item>| {
        list.iter().map(|item| seen.get(&item.key()).map_or(0, |&i| rank[i])).collect::<Vec<u64>>()
    };
    let maps = all.iter().map(map).collect();
    let sorted: Vec<&Item> = order.iter().map(|&i| &union[i]).collect();
    let like = lists.iter().find(|l| matches!(l, Value::Dense(_))).or(lists.first());
    Ok(Union { len: union.len() as u64, categories: value_of(&sorted, like, cx)?, maps })
}

/// Texts that are given.
pub(crate) fn given(names: &[String], cx: &Cx) -> Result<Union> {
    let items: Vec<Item> = names.iter().map(|n| Item::Text(n.clone().into_bytes())).collect();
    let categories = value_of(&items.iter().collect::<Vec<_>>(), None, cx)?;
    Ok(Union { categories, len: names.len() as u64, maps: Vec::new() })
}

fn value_of(items: &[&Item], like: Option<&Value>, cx: &Cx) -> Result<Value> {
    let n = items.len() as u64;
    let ints = items.iter().all(|i| matches!(i, Item::Int(_)));
    let numbers = items.iter().all(|i| !matches!(i, Item::Text(_)));
    let dense_like = matches!(like, Some(Value::Dense(_)));
    if !items.is_empty() && !numbers && !items.iter().all(|i| matches!(i, Item::Text(_))) {
        return Err(Error::new(
            Code::Operation,
            "categories that are text and categories that are numbers cannot be united",
        ));
    }
    if numbers && (dense_like || !items.is_empty()) {
        let (dtype, bytes): (DataType, Vec<u8>) = match like {
            Some(Value::Dense(d)) if d.dtype == DataType::Bool && ints => {
                (DataType::Bool, items.iter().map(|i| u8::from(matches!(i, Item::Int(1)))).collect())
            }
            _ if ints => {
                let unsigned = items.iter().any(|i| matches!(i, Item::Int(i) if *i > i128::from(i64::MAX)));
                let dtype = if unsigned { DataType::UInt(8) } else { DataType::Int(8) };
                let item = |i: &&Item| match i {
                    Item::Int(i) => (*i as i64).to_ne_bytes(),
                    _ => [0; 8],
                };
                (dtype, items.iter().flat_map(item).collect())
            }
            _ => {
                let item = |i: &&Item| match i {
                    Item::Int(i) => (*i as f64).to_ne_bytes(),
                    Item::Float(x) => x.to_ne_bytes(),
                    Item::Text(_) => [0; 8],
                };
                (DataType::Float(8), items.iter().flat_map(item).collect())
            }
        };
        let data = Buffer::copy_of(&bytes, &cx.budget, "the categories of all parts")?;
        return Ok(Value::Dense(Dense { dtype, shape: vec![n], data }));
    }
    let text = |i: &&Item| match i {
        Item::Text(t) => t.clone(),
        _ => Vec::new(),
    };
    let bytes = items.iter().map(|i| text(i).len() as u64).sum();
    let mut out = StringsOut::new(vec![n], bytes, true, cx)?;
    for i in items {
        out.push(&text(i));
    }
    Ok(Value::Strings(out.finish()))
}

fn compare(a: &Item, b: &Item) -> Ordering {
    match (a, b) {
        (Item::Text(a), Item::Text(b)) => natural(a, b).then_with(|| a.cmp(b)),
        (Item::Int(a), Item::Int(b)) => a.cmp(b),
        (Item::Float(a), Item::Float(b)) => a.total_cmp(b),
        (Item::Int(a), Item::Float(b)) => (*a as f64).total_cmp(b),
        (Item::Float(a), Item::Int(b)) => a.total_cmp(&(*b as f64)),
        (Item::Text(_), _) => Ordering::Greater,
        (_, Item::Text(_)) => Ordering::Less,
    }
}

/// Text in natural order: stretches of digits are numbers, `T2` before `T10`.
pub(crate) fn natural(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (text_a, rest_a) = a.split_at(a.iter().position(u8::is_ascii_digit).unwrap_or(a.len()));
        let (text_b, rest_b) = b.split_at(b.iter().position(u8::is_ascii_digit).unwrap_or(b.len()));
        let texts = text_a.cmp(text_b);
        if texts != Ordering::Equal || rest_a.is_empty() || rest_b.is_empty() {
            return texts.then_with(|| rest_a.len().min(1).cmp(&rest_b.len().min(1)));
        }
        let (digits_a, next_a) =
            rest_a.split_at(rest_a.iter().position(|c| !c.is_ascii_digit()).unwrap_or(rest_a.len()));
        let (digits_b, next_b) =
            rest_b.split_at(rest_b.iter().position(|c| !c.is_ascii_digit()).unwrap_or(rest_b.len()));
        let trim = |d: &'_ [u8]| d.iter().skip_while(|c| **c == b'0').copied().collect::<Vec<u8>>();
        let (number_a, number_b) = (trim(digits_a), trim(digits_b));
        let numbers = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(&number_b));
        if numbers != Ordering::Equal {
            return numbers;
        }
        (a, b) = (next_a, next_b);
    }
}
