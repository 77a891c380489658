use super::Selection::{self, Names, Positions, Slice};

fn parse(text: &str) -> Result<Selection, String> {
    text.parse()
}

#[test]
fn slices_positions_and_names() {
    assert_eq!(parse("0:100"), Ok(Slice(Some(0), Some(100), None)));
    assert_eq!(parse(":"), Ok(Slice(None, None, None)));
    assert_eq!(parse("::2"), Ok(Slice(None, None, Some(2))));
    assert_eq!(parse("-10:"), Ok(Slice(Some(-10), None, None)));
    assert_eq!(parse("9:2:-1"), Ok(Slice(Some(9), Some(2), Some(-1))));
    assert_eq!(parse("5,3, 3"), Ok(Positions(vec![5, 3, 3])));
    assert_eq!(parse("-1"), Ok(Positions(vec![-1])));
    assert_eq!(parse("@CD3D"), Ok(Names(vec!["CD3D".into()])));
    assert_eq!(parse("@a,b"), Ok(Names(vec!["a".into(), "b".into()])));
    // Peaks are named with colons and numbers; commas and backslashes are escaped.
    assert_eq!(parse("@chr1:100-200"), Ok(Names(vec!["chr1:100-200".into()])));
    assert_eq!(parse(r"@a\,b,c\\d"), Ok(Names(vec!["a,b".into(), r"c\d".into()])));
}

#[test]
fn what_is_neither_is_refused() {
    for bad in
        ["", "CD3D", "1:2:3:4", "::0", "1.5", "1,", "a:b", "@", "@a,,b", r"@a\n", "99999999999999999999"]
    {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_selection_fits_its_axis_or_is_refused() {
    let len = |text: &str| match parse(text).unwrap().step(Some(10)) {
        Ok(lazarr::Step::Index(index)) => Some(index.len()),
        _ => None,
    };
    assert_eq!(len("2:100"), Some(8));
    assert_eq!(len("5,3,3,-1"), Some(4));
    assert_eq!(len("10"), None);
    assert_eq!(len("-11"), None);
}
