//! Inner loops, compiled once more for wide vectors and taken where the processor has them.
//!
//! A build runs on any machine of its kind, so what it may take for granted is narrow: vectors of 16 bytes on x86-64. A
//! loop is plain code; its two builds differ in the instructions alone, and give the same bits.
#![allow(unsafe_code, reason = "a function for other processors is called where they were found")]

/// A loop. All that it is made of is inlined into it, or keeps to narrow vectors: `run` says `inline(always)`, and so does
/// what it calls for each item.
pub(super) trait Loop {
    type Out;
    fn run(self) -> Self::Out;
}

/// Runs it, with vectors of 32 bytes where there are any.
pub(super) fn widest<L: Loop>(work: L) -> L::Out {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<L: Loop>(work: L) -> L::Out {
            work.run()
        }
        if is_wide() {
            // SAFETY: the processor has what the function needs.
            return unsafe { avx2(work) };
        }
    }
    work.run()
}

/// Whether this processor has what the other build takes for granted; a test may ask for loops as on any.
#[cfg(target_arch = "x86_64")]
fn is_wide() -> bool {
    #[cfg(test)]
    if tests::narrow() {
        return false;
    }
    is_x86_feature_detected!("avx2")
}

#[cfg(test)]
pub(super) use tests::in_both;

/// Both as float64. Of two in a row a compiler makes two conversions, which are more work than one of both, and what bounds
/// a loop of sums is how much work there is for a value.
#[allow(clippy::inline_always, reason = "see Loop")]
#[inline(always)]
pub(super) fn two_floats(pair: [f32; 2]) -> [f64; 2] {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            _mm_castsi128_ps, _mm_cvtps_pd, _mm_cvtsd_f64, _mm_cvtsi64_si128, _mm_unpackhi_pd,
        };
        let [a, b] = pair.map(|v| u64::from(v.to_bits()));
        // SAFETY: every processor of this kind has SSE2.
        unsafe {
            let both = _mm_cvtps_pd(_mm_castsi128_ps(_mm_cvtsi64_si128((a | b << 32) as i64)));
            [_mm_cvtsd_f64(both), _mm_cvtsd_f64(_mm_unpackhi_pd(both, both))]
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    pair.map(f64::from)
}

#[cfg(test)]
#[path = "wide_tests.rs"]
mod tests;
