//! Shares are neighbours, none is empty, and an error of any of them comes back.

use lazarr_format::{Code, Error};

use super::{apart, shares};

#[test]
fn shares_are_neighbours_and_none_is_empty() {
    for count in 0..6 {
        for items in 0..20 {
            let all: Vec<usize> = (0..items).collect();
            let shares = shares(all.clone(), count);
            assert!(shares.len() <= count.max(1) && shares.iter().all(|share| !share.is_empty()));
            assert_eq!(shares.concat(), all);
        }
    }
}

#[test]
fn results_come_in_order_and_an_error_comes_back() {
    assert_eq!(apart(vec![3, 1, 2], &|x| Ok(10 * x)).unwrap(), [30, 10, 20]);
    assert!(apart(Vec::<u8>::new(), &Ok).unwrap().is_empty());
    for bad in 0..3 {
        let take = |x| if x == bad { Err(Error::new(Code::MemoryLimit, "no room")) } else { Ok(x) };
        assert_eq!(apart(vec![0, 1, 2], &take).unwrap_err().code(), Code::MemoryLimit);
    }
}
