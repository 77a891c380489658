use lazarr_format::{Code, DataType};
use proptest::prelude::*;

use super::*;

fn column(name: &str) -> ColumnRef {
    ColumnRef::new(AxisId(1), format!("obs/{name}"), Some(name))
}

fn names() -> ColumnRef {
    ColumnRef::new(AxisId(1), "obs/_index", None)
}

fn text(x: &str) -> Literal {
    Literal::Str(x.into())
}

fn cell_type() -> ColumnSchema {
    let values = ["T cell", "B cell"].map(String::from).to_vec();
    ColumnSchema::Categorical { categories: CategoryValues::Strings { values, na: false }, ordered: false }
}

#[test]
fn shown_as_typed() {
    let t_cells = Expr::cmp(column("cell_type"), CmpOp::Eq, text("T cell"));
    let genes = Expr::cmp(column("n_genes"), CmpOp::Gt, Literal::Int(500));
    let both = t_cells.clone().and(genes);
    assert_eq!(both.to_string(), r#"(obs["cell_type"] == "T cell") & (obs["n_genes"] > 500)"#);
    assert_eq!(both.not().to_string(), r#"~((obs["cell_type"] == "T cell") & (obs["n_genes"] > 500))"#);
    let starts = Expr::StartsWith { column: names(), prefix: vec!["MT-".into()] };
    assert_eq!(
        starts.clone().or(t_cells).to_string(),
        r#"obs_names.str.startswith("MT-") | (obs["cell_type"] == "T cell")"#
    );
    assert_eq!(starts.not().to_string(), r#"~obs_names.str.startswith("MT-")"#);
    let odd = ColumnRef::new(AxisId(1), "raw/var/a/\"b", Some("a/\"b"));
    assert_eq!(Expr::IsNa(odd).to_string(), r#"raw.var["a/\"b"].isna()"#);
    let values =
        vec![Literal::Null, Literal::Na, Literal::Bool(true), Literal::Float(1.0), Literal::Float(f64::NAN)];
    assert_eq!(
        Expr::IsIn { column: column("x"), values }.to_string(),
        r#"obs["x"].isin([None, pd.NA, True, 1.0, nan])"#
    );
    let many = (0..100).map(Literal::Int).collect();
    let many = Expr::IsIn { column: column("x"), values: many }.to_string();
    assert_eq!(many, r#"obs["x"].isin([0, 1, 2, 3, 4, 5, 6, 7, … 100 in all])"#);
    let contains =
        Expr::Contains { column: column("x"), pattern: "a\n\\d".into(), regex: false, case: false };
    assert_eq!(contains.to_string(), r#"obs["x"].str.contains("a\n\\d", case=False, regex=False)"#);
    let between = |inclusive| Expr::Between {
        column: column("x"),
        low: Literal::Int(1),
        high: Literal::Float(2.5),
        inclusive,
    };
    assert_eq!(between(Inclusive::Both).to_string(), r#"obs["x"].between(1, 2.5)"#);
    assert_eq!(between(Inclusive::Left).to_string(), r#"obs["x"].between(1, 2.5, inclusive="left")"#);
}

#[test]
fn columns_and_axes() {
    let a = Expr::IsNa(column("a"));
    let b = Expr::IsNa(column("b"));
    let expr = a.clone().and(b.clone()).or(a.clone().not());
    assert_eq!(expr.columns(), [column("a"), column("b")]);
    assert_eq!(expr.axis().unwrap(), AxisId(1));
    let other = Expr::IsNa(ColumnRef::new(AxisId(2), "var/a", Some("a")));
    let e = a.and(other).axis().unwrap_err();
    assert_eq!(e.code(), Code::ForeignPredicate);
    assert!(e.to_string().contains(r#"found var["a"]"#), "{e}");
}

#[test]
fn refusals_say_what_would_work() {
    let refuse = |expr: Expr, schema: ColumnSchema| {
        let e = expr.bind(&[(expr.columns()[0].clone(), schema)]).unwrap_err();
        assert_eq!(e.code(), Code::Expression);
        e.to_string()
    };
    let less = |value| Expr::cmp(column("cell_type"), CmpOp::Lt, value);
    let said = refuse(less(text("T cell")), cell_type());
    assert!(said.contains("unordered categorical (2 categories, strings)"), "{said}");
    assert!(said.contains(r#"`obs["cell_type"] < "T cell"`"#) && said.contains("use == and !="), "{said}");
    let categories = CategoryValues::Int(vec![1, 2]);
    let said = refuse(less(Literal::Int(5)), ColumnSchema::Categorical { categories, ordered: true });
    assert!(said.contains("5 is not one of its categories"), "{said}");
    let said = refuse(less(text("a")), ColumnSchema::Numeric(DataType::Float(4)));
    assert!(said.contains("float32") && said.contains("Compare it with a number"), "{said}");
    let starts = Expr::StartsWith { column: column("n"), prefix: vec!["a".into()] };
    let said = refuse(starts, ColumnSchema::NullableInteger(DataType::Int(4)));
    assert!(said.contains("nullable int32") && said.contains("`.str` works on columns of strings"), "{said}");
    refuse(Expr::Column(column("n")), ColumnSchema::Numeric(DataType::Int(4)));
    refuse(Expr::IsNa(column("n")), ColumnSchema::Other("awkward array".into()));
    for pattern in ["(?=a)", "(?<!a)b", r"(a)\1", "a++", "(", "[a", "\\"] {
        let expr = Expr::Contains { column: column("n"), pattern: pattern.into(), regex: true, case: true };
        let said = refuse(expr, ColumnSchema::Strings);
        assert!(said.contains("regex=False"), "{said}");
    }
}

#[test]
fn patterns_are_read_as_python_does() {
    let matches = |pattern: &str, text: &str| {
        strings::StrTest::contains(pattern, true, true, true).unwrap().eval(text.as_bytes()).unwrap()
    };
    assert!(matches("[[]", "[") && !matches("[[]", "a"));
    assert!(matches("[a&&b]", "&") && matches("[a&&b]", "a"));
    assert!(matches("[]a]", "]") && matches("[^]a]", "b") && !matches("[^]a]", "]"));
    assert!(matches(r"a\<", "a<") && matches(r"a\Z", "ba") && !matches(r"a\Z", "ab"));
    assert!(matches(r"\[\]+", "[]]") && matches("a+?", "a"));
}

#[test]
fn json_keeps_everything() {
    let literals = vec![
        Literal::Null,
        Literal::Na,
        Literal::Bool(false),
        Literal::Int(i128::MIN),
        Literal::Int(i128::from(u64::MAX)),
        Literal::Float(0.1),
        Literal::Float(f64::INFINITY),
        Literal::Float64(-0.0),
        text("é\""),
    ];
    let expr = Expr::IsIn { column: column("x"), values: literals }.xor(Expr::Column(names()).not()).or(
        Expr::Between {
            column: column("y"),
            low: Literal::Int(1),
            high: Literal::Int(2),
            inclusive: Inclusive::Left,
        },
    );
    let json = expr.to_json().unwrap();
    assert_eq!(Expr::from_json(&json).unwrap(), expr);
    assert!(
        Expr::from_json(&Expr::cmp(column("x"), CmpOp::Eq, Literal::Float(f64::NAN)).to_json().unwrap())
            .is_ok()
    );
    for bad in ["", "[]", "{}", r#"["and"]"#, r#"["not"]"#, r#"[{"is_na":{"column":1}}]"#, "[[[[[["] {
        assert_eq!(Expr::from_json(bad).unwrap_err().code(), Code::Expression, "{bad}");
    }
    let two = format!("[{0},{0}]", &Expr::IsNa(names()).to_json().unwrap().trim_matches(['[', ']']));
    assert_eq!(Expr::from_json(&two).unwrap_err().code(), Code::Expression);
    let deep = format!(
        "[{}{}]",
        &Expr::IsNa(names()).to_json().unwrap().trim_matches(['[', ']']),
        r#","not""#.repeat(5000)
    );
    assert!(Expr::from_json(&deep).unwrap_err().to_string().contains("deep"));
}

#[test]
fn long_chains_bind_and_too_long_ones_say_isin() {
    let one = |i: usize| Expr::cmp(column("x"), CmpOp::Eq, Literal::Int(i as i128));
    let chain = |n: usize| (1..n).fold(one(0), |e, i| e.or(one(i)));
    let schema = [(column("x"), ColumnSchema::Numeric(DataType::UInt(1)))];
    let block = [ColumnBlock::Fixed { dtype: DataType::UInt(1), bytes: &[1, 255] }];
    let chain_200 = Expr::from_json(&chain(200).to_json().unwrap()).unwrap();
    assert_eq!(chain_200.bind(&schema).unwrap().eval(&block).unwrap().words(), [0b01]);
    let e = chain(2000).bind(&schema).unwrap_err();
    assert!(e.to_string().contains("isin"), "{e}");
}

#[test]
fn broken_blocks_are_errors() {
    let bound = |expr: Expr, schema: ColumnSchema| expr.bind(&[(expr.columns()[0].clone(), schema)]).unwrap();
    let is_t = bound(Expr::cmp(column("c"), CmpOp::Eq, text("T cell")), cell_type());
    let codes = |dtype, bytes| [ColumnBlock::Codes { dtype, bytes }];
    assert_eq!(is_t.eval(&codes(DataType::Int(1), &[0, 1, 255])).unwrap().words(), [0b001]);
    assert_eq!(is_t.eval(&codes(DataType::Int(1), &[2])).unwrap_err().code(), Code::CategoryCode);
    assert_eq!(is_t.eval(&codes(DataType::UInt(1), &[255])).unwrap_err().code(), Code::CategoryCode);
    assert_eq!(is_t.eval(&codes(DataType::Int(2), &[0])).unwrap_err().code(), Code::ChunkLength);
    assert_eq!(is_t.eval(&[]).unwrap_err().code(), Code::Internal);
    let is_a =
        bound(Expr::cmp(column("s"), CmpOp::Eq, text("a")), ColumnSchema::NullableString { nan: true });
    let strings = |offsets, mask| [ColumnBlock::NullableStrings { offsets, bytes: b"ab", mask }];
    assert_eq!(is_a.eval(&strings(&[0, 1, 2], &[0, 0])).unwrap().words(), [0b01]);
    assert_eq!(is_a.eval(&strings(&[0, 1, 3], &[0, 0])).unwrap_err().code(), Code::StringData);
    assert_eq!(is_a.eval(&strings(&[0, 2, 1], &[0, 0])).unwrap_err().code(), Code::StringData);
    assert_eq!(is_a.eval(&strings(&[], &[])).unwrap_err().code(), Code::StringData);
    assert_eq!(is_a.eval(&strings(&[0, 1, 2], &[0])).unwrap_err().code(), Code::Misaligned);
    let upper = Expr::Contains { column: column("s"), pattern: "a".into(), regex: false, case: false };
    let upper = bound(upper, ColumnSchema::Strings);
    let e = upper.eval(&[ColumnBlock::Strings { offsets: &[0, 1], bytes: &[0xff] }]).unwrap_err();
    assert_eq!((e.code(), e.element_name()), (Code::StringData, Some("obs/s")));
    let two = Expr::IsNa(column("a")).and(Expr::IsNa(column("b")));
    let bool = |name| (column(name), ColumnSchema::Bool);
    let two = two.bind(&[bool("a"), bool("b")]).unwrap();
    let block = |bytes| ColumnBlock::Fixed { dtype: DataType::Bool, bytes };
    assert_eq!(two.eval(&[block(&[1]), block(&[1, 1])]).unwrap_err().code(), Code::Misaligned);
    assert_eq!(two.eval(&[block(&[]), block(&[])]).unwrap().len(), 0);
}

/// pandas' `boolean`, one row at a time.
fn kleene(op: char, a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (op, a, b) {
        ('&', Some(false), _) | ('&', _, Some(false)) => Some(false),
        ('|', Some(true), _) | ('|', _, Some(true)) => Some(true),
        (_, Some(a), Some(b)) => Some(match op {
            '&' => a && b,
            '|' => a || b,
            _ => a != b,
        }),
        _ => None,
    }
}

fn mask(rows: &[Option<bool>]) -> Mask3 {
    let na = Mask3::from_fn(rows.len(), |i| rows[i].is_none());
    Mask3::from_fn(rows.len(), |i| rows[i] == Some(true)).at_missing(&na, None)
}

fn rows(mask: &Mask3) -> Vec<Option<bool>> {
    (0..mask.len()).map(|i| mask.get(i)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masks_follow_kleene(pairs in prop::collection::vec((any::<Option<bool>>(), any::<Option<bool>>()), 0..200)) {
        let (a, b): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let (x, y) = (mask(&a), mask(&b));
        prop_assert_eq!(rows(&x), a.clone());
        for (op, got) in [('&', x.and(&y)), ('|', x.or(&y)), ('^', x.xor(&y))] {
            let want: Vec<_> = pairs.iter().map(|(a, b)| kleene(op, *a, *b)).collect();
            prop_assert_eq!(rows(&got), want);
        }
        prop_assert_eq!(rows(&x.negated()), a.iter().map(|v| v.map(|v| !v)).collect::<Vec<_>>());
        let mut joined = x.clone();
        joined.append(&y);
        joined.append(&x.negated());
        let mut want = a.clone();
        want.extend(&b);
        want.extend(a.iter().map(|v| v.map(|v| !v)));
        prop_assert_eq!(rows(&joined), want.clone());
        let index = joined.clone().selected().into_index(want.len() as u64).unwrap();
        let places: Vec<u64> = want.iter().zip(0..).filter(|(v, _)| **v == Some(true)).map(|(_, i)| i).collect();
        prop_assert_eq!(joined.count(), places.len() as u64);
        prop_assert_eq!(index.to_vec(), places);
    }
}
