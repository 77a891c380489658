use super::{Limit, Limits};
use crate::Code;

#[test]
fn each_limit_has_a_name_a_value_and_a_range() {
    for limit in Limit::ALL {
        assert_eq!(Limit::from_name(limit.name()), Some(limit));
        let least = Limits::default().with(limit, 0);
        let most = Limits::default().with(limit, u64::MAX);
        assert_eq!((least.get(limit), most.get(limit)), (1, limit.most()));
        let default = Limits::default().get(limit);
        assert!((1..=limit.most()).contains(&default), "{limit:?}");
        // The others stay as they were.
        for other in Limit::ALL.into_iter().filter(|o| *o != limit) {
            assert_eq!(most.get(other), Limits::default().get(other));
        }
    }
    assert_eq!(Limit::from_name("chunks"), None);
}

#[test]
fn the_error_says_which_limit_its_value_what_was_found_and_how_to_raise_it() {
    let limits = Limits::default().with(Limit::Dimensions, 3);
    let e = limits.exceeded(Limit::Dimensions, "the array has too many dimensions", Some(5));
    assert_eq!(e.code(), Code::MetadataLimit);
    assert_eq!(e.expected_found(), (Some("at most 3 (the limit dimensions)"), Some("5")));
    assert_eq!(e.help_text(), Some("If you trust the store, raise the limit: dimensions=5"));
    // What no setting allows is not advised.
    assert_eq!(limits.exceeded(Limit::Dimensions, "x", Some(65)).help_text(), None);
}
