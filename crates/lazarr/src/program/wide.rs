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
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function needs.
            return unsafe { avx2(work) };
        }
    }
    work.run()
}
