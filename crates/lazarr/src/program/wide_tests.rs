//! Both builds of a loop, on a processor that would take one of them.

use std::cell::Cell;

use super::{Loop, two_floats, widest};

thread_local! {
    static NARROW: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is to have loops as on any processor.
pub(super) fn narrow() -> bool {
    NARROW.get()
}

/// A test of loops, in the build for this processor and in the one for any.
pub(in crate::program) fn in_both(test: impl Fn()) {
    test();
    NARROW.set(true);
    test();
    NARROW.set(false);
}

struct Add<'a>(&'a [u16], &'a Cell<u32>);

impl Loop for Add<'_> {
    type Out = u64;

    #[allow(clippy::inline_always, reason = "see Loop")]
    #[inline(always)]
    fn run(self) -> u64 {
        self.1.set(self.1.get() + 1);
        self.0.iter().map(|&v| u64::from(v)).sum()
    }
}

#[test]
fn a_loop_runs_once_in_either_build() {
    let (numbers, ran) = ((0..1000).collect::<Vec<u16>>(), Cell::new(0));
    in_both(|| assert_eq!(widest(Add(&numbers, &ran)), 499_500));
    assert_eq!(ran.get(), 2);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_test_of_both_has_both() {
    let wide = std::cell::RefCell::new(Vec::new());
    in_both(|| wide.borrow_mut().push(super::is_wide()));
    assert_eq!(*wide.borrow(), [is_x86_feature_detected!("avx2"), false]);
    assert!(!narrow());
}

#[test]
fn two_floats_are_each_of_them() {
    let odd = [0.0, -0.0, 1.5, -2.75, f32::MIN_POSITIVE / 4.0, f32::MAX, f32::INFINITY, f32::NEG_INFINITY];
    for a in odd {
        for b in odd {
            assert_eq!(two_floats([a, b]).map(f64::to_bits), [a, b].map(|v| f64::from(v).to_bits()));
        }
        let [nan, number] = two_floats([f32::NAN, a]);
        assert!(nan.is_nan() && number.to_bits() == f64::from(a).to_bits());
    }
}
