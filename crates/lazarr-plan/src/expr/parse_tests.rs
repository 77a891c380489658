use lazarr_format::{Code, Error, Result};

use crate::expr::{AxisId, ColumnRef, Expr};

fn column(name: &str) -> Result<ColumnRef> {
    if name == "nope" {
        return Err(Error::new(Code::ElementNotFound, "there is no column `nope`"));
    }
    Ok(ColumnRef::new(AxisId(1), format!("obs/{name}"), Some(name)))
}

/// The query as predicates in Python would spell it, `a` for `obs["a"]`; names have one word.
fn read(text: &str) -> String {
    let expr = Expr::parse(text, &column).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut out = String::new();
    let text = expr.to_string();
    for (i, part) in text.split("obs[\"").enumerate() {
        out.push_str(&if i == 0 { part.to_owned() } else { part.replacen("\"]", "", 1) });
    }
    out
}

fn error(text: &str) -> String {
    let e = Expr::parse(text, &column).expect_err(text);
    assert!(matches!(e.code(), Code::Expression | Code::ElementNotFound));
    e.to_string()
}

#[test]
fn conditions_are_those_of_pandas() {
    for (text, expected) in [
        ("n > 500", "n > 500"),
        ("cell_type == 'T cell' and n_genes > 500", "(cell_type == \"T cell\") & (n_genes > 500)"),
        ("a == 'x' or b == 'y' and c == 'z'", "(a == \"x\") | ((b == \"y\") & (c == \"z\"))"),
        ("a == 'x' | b == 'y' & c == 'z'", "(a == \"x\") | ((b == \"y\") & (c == \"z\"))"),
        ("(a == 1 or b == 2) and c == 3", "((a == 1) | (b == 2)) & (c == 3)"),
        ("not a == 1", "~(a == 1)"),
        ("not not flag", "~~flag"),
        ("~flag & ~(a < 2)", "~flag & ~(a < 2)"),
        ("flag", "flag"),
        ("500 < n <= 1e3", "(n > 500) & (n <= 1000.0)"),
        ("-1 <= n", "n >= -1"),
        ("n == -.5", "n == -0.5"),
        ("n != 1_000", "n != 1000"),
        ("a in ['x', \"y\",]", "a.isin([\"x\", \"y\"])"),
        ("a not in (1, 2)", "~a.isin([1, 2])"),
        ("a == [1]", "a.isin([1])"),
        ("a != [1]", "~a.isin([1])"),
        ("a == True", "a == True"),
        ("a == None", "a == None"),
        ("a.isna() or a.notnull()", "a.isna() | a.notna()"),
        ("~a.isna()", "~a.isna()"),
        ("a.isin([1, 2])", "a.isin([1, 2])"),
        ("a.between(1, 2)", "a.between(1, 2)"),
        ("a.between(1, 2, inclusive='left')", "a.between(1, 2, inclusive=\"left\")"),
        ("a.str.startswith('x')", "a.str.startswith(\"x\")"),
        ("a.str.endswith(('x', 'y'))", "a.str.endswith((\"x\", \"y\"))"),
        ("a.str.contains('x', case=False, regex=False)", "a.str.contains(\"x\", case=False, regex=False)"),
        ("`n-genes (raw)` > 5", "n-genes (raw) > 5"),
        ("größe > 5", "größe > 5"),
        ("a == 'it\\'s\\n'", "a == \"it's\\n\""),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn what_is_read_is_read_again_from_json() {
    let expr = Expr::parse("(a > 1 and not b in ['x']) or c.isna()", &column).unwrap();
    assert_eq!(Expr::from_json(&expr.to_json().unwrap()).unwrap(), expr);
}

#[test]
fn an_error_points_at_its_place() {
    for (text, what, at) in [
        ("", "ends where", 1),
        ("a ==", "ends where", 5),
        ("a = 1", "`=` is no comparison", 3),
        ("a == b", "not with a column", 1),
        ("1 == 2", "a column with a value", 1),
        ("a == 'x", "not closed", 6),
        ("a == 1)", "expected `and`", 7),
        ("(a == 1", "expected `)`", 8),
        ("a == 1 b == 2", "expected `and`", 8),
        ("a in 'x'", "expected a list", 6),
        ("'x' in a", "a column before", 1),
        ("a in [b]", "expected a value", 7),
        ("a @ b", "means nothing", 3),
        ("`` == 1", "backticks", 1),
        ("~a == 1", "binds to the column alone", 4),
        ("a.mean() > 1", "mean is not among the methods", 3),
        ("a.isna(1)", "takes no arguments", 3),
        ("a.isin('x')", "takes a list", 3),
        ("a.between(1)", "takes two values", 3),
        ("a.str.startswith(1)", "takes a string", 3),
        ("a == - 'x'", "expected a value", 8),
        ("größe == 'x' and ü +", "means nothing", 20),
        ("a == 5x", "is not a number", 6),
        ("n>500and m<=2", "`500` is not a number", 3),
        ("a == '\\q'", "are escapes", 7),
        ("a in [1] < 2", "expected `and`", 10),
        ("n == 999999999999999999999999999999999999999999", "is not a number", 6),
    ] {
        let e = error(text);
        assert!(e.contains(what), "{text}: {e}");
        assert!(e.contains(&format!("at character {at}")), "{text}: {e}");
    }
    assert!(error("a == 1 and nope == 2").contains("`nope`, at character 12 of the query"));
}

#[test]
fn what_is_too_large_is_refused() {
    let deep = format!("{}a{}", "(".repeat(70), ")".repeat(70));
    assert!(error(&deep).contains("nested more than 64 deep"));
    let deep = format!("{}a", "~".repeat(70));
    assert!(error(&deep).contains("nested more than 64 deep"));
    let deep = format!("{}a", "not ".repeat(70));
    assert!(error(&deep).contains("nested more than 64 deep"));
    let long = vec!["a"; 502].join("|");
    assert!(error(&long).contains("more than 500 parts"));
    let chain = format!("0{}", " < a < 5".repeat(400));
    assert!(error(&chain).contains("more than 500 parts"));
    assert!(error(&"a ".repeat(40_000)).contains("too long"));
    // A list may be long: it is one condition.
    let list = format!("a in [{}]", vec!["1"; 10_000].join(","));
    assert!(Expr::parse(&list, &column).is_ok());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ab`'\"()\\[\\],.<>=!&|~ 0-9e\\-\\\\ü]{0,40}|(a|in|not|and|or|==|\\(|\\)|\\[1\\]|'x'|5|<| ){0,20}") {
        let _ = Expr::parse(&text, &column);
    }
}
