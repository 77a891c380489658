//! Bytes that are sorted by their place in an item, put together: by AVX2 where the processor has it, asked at run time.
#![allow(unsafe_code, reason = "vector loads and stores")]

use std::ops::Range;

/// Items as large as this have at most as many planes.
pub(super) const MOST_PLANES: usize = 16;

/// Puts together the items `range`: byte `k` of item `i` is `planes[k][i]`, and the items stand in `out` one after the
/// other from item 0 on. What lies outside of a plane or of `out` is left out.
pub(super) fn unshuffle(planes: &[&[u8]], range: Range<usize>, out: &mut [u8]) {
    match planes.len() {
        2 => fixed::<2>(planes, range, out),
        4 => fixed::<4>(planes, range, out),
        8 => fixed::<8>(planes, range, out),
        16 => fixed::<16>(planes, range, out),
        0 => {}
        size => {
            let Some(out) = out.get_mut(range.start * size..range.end * size) else { return };
            for (k, plane) in planes.iter().enumerate() {
                let Some(plane) = plane.get(range.clone()) else { return };
                for (&byte, item) in plane.iter().zip(out.chunks_exact_mut(size)) {
                    item[k] = byte;
                }
            }
        }
    }
}

fn fixed<const N: usize>(planes: &[&[u8]], range: Range<usize>, out: &mut [u8]) {
    let len = range.len();
    let Some(out) = out.get_mut(range.start * N..range.end * N) else { return };
    let mut cut: [&[u8]; N] = [&[]; N];
    for (cut, plane) in cut.iter_mut().zip(planes) {
        let Some(plane) = plane.get(range.clone()) else { return };
        *cut = plane;
    }
    let done = vectors(&cut, out, len);
    let (items, _) = out.as_chunks_mut::<N>();
    for (i, item) in items.iter_mut().enumerate().skip(done) {
        for (byte, plane) in item.iter_mut().zip(&cut) {
            *byte = plane[i];
        }
    }
}

/// Does what vectors can do of the `len` items that every plane and `out` has; returns how many these are.
#[cfg(target_arch = "x86_64")]
fn vectors<const N: usize>(planes: &[&[u8]; N], out: &mut [u8], len: usize) -> usize {
    assert!(planes.iter().all(|p| p.len() == len) && out.len() == len * N);
    if len < x86::SSE {
        return 0;
    }
    let mut at = 0;
    if len >= x86::AVX && x86::has_avx2() {
        // SAFETY: AVX2 is there; each plane has `len` items, and `out` has `N` times as many.
        at = unsafe { x86::avx2_steps(planes, out, len) };
    }
    while at + x86::SSE <= len {
        // SAFETY: every x86-64 has SSE2; `at + SSE <= len`, as above.
        unsafe { x86::sse2(planes, out, at) };
        at += x86::SSE;
    }
    if at < len {
        // The last ones, some of them for the second time.
        // SAFETY: `len >= SSE`, as above.
        unsafe { x86::sse2(planes, out, len - x86::SSE) };
    }
    len
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors<const N: usize>(_: &[&[u8]; N], _: &mut [u8], _: usize) -> usize {
    0
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm_loadu_si128, _mm_setzero_si128, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpacklo_epi8,
        _mm256_loadu_si256, _mm256_permute2x128_si256, _mm256_setzero_si256, _mm256_storeu_si256,
        _mm256_unpackhi_epi8, _mm256_unpacklo_epi8,
    };

    /// Items that one step of each takes.
    pub(super) const SSE: usize = 16;
    pub(super) const AVX: usize = 32;

    pub(super) fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2")
    }

    /// Interleaving the first half of the registers with the second one, log2(N) times, puts the bytes of an item side by
    /// side.
    ///
    /// # Safety
    ///
    /// `at + SSE` items are in each plane and in `out`.
    #[target_feature(enable = "sse2")]
    pub(super) unsafe fn sse2<const N: usize>(planes: &[&[u8]; N], out: &mut [u8], at: usize) {
        let mut x = [_mm_setzero_si128(); N];
        for (x, plane) in x.iter_mut().zip(planes) {
            // SAFETY: 16 bytes at `at` are in the plane, as the caller promises.
            *x = unsafe { _mm_loadu_si128(plane.as_ptr().add(at).cast()) };
        }
        for _ in 0..N.ilog2() {
            let y = x;
            for i in 0..N / 2 {
                x[2 * i] = _mm_unpacklo_epi8(y[i], y[i + N / 2]);
                x[2 * i + 1] = _mm_unpackhi_epi8(y[i], y[i + N / 2]);
            }
        }
        for (k, x) in x.into_iter().enumerate() {
            // SAFETY: 16 · N bytes at `at · N` are in `out`, as the caller promises.
            unsafe { _mm_storeu_si128(out.as_mut_ptr().add(at * N + 16 * k).cast(), x) };
        }
    }

    /// As many steps as there are items for; returns how many items these are. The loop stands here, where a step is
    /// inlined: a function for AVX2 is a call from anywhere else.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; `len` items are in each plane and in `out`.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2_steps<const N: usize>(
        planes: &[&[u8]; N],
        out: &mut [u8],
        len: usize,
    ) -> usize {
        let planes = *planes;
        let mut at = 0;
        while at + AVX <= len {
            // SAFETY: as the caller promises.
            unsafe { avx2(&planes, out, at) };
            at += AVX;
        }
        at
    }

    /// The same in each half of the registers, which are put in order when they are stored.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; `at + AVX` items are in each plane and in `out`.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn avx2<const N: usize>(planes: &[&[u8]; N], out: &mut [u8], at: usize) {
        let mut x = [_mm256_setzero_si256(); N];
        for (x, plane) in x.iter_mut().zip(planes) {
            // SAFETY: 32 bytes at `at` are in the plane, as the caller promises.
            *x = unsafe { _mm256_loadu_si256(plane.as_ptr().add(at).cast()) };
        }
        for _ in 0..N.ilog2() {
            let y = x;
            for i in 0..N / 2 {
                x[2 * i] = _mm256_unpacklo_epi8(y[i], y[i + N / 2]);
                x[2 * i + 1] = _mm256_unpackhi_epi8(y[i], y[i + N / 2]);
            }
        }
        for k in 0..N / 2 {
            let (a, b) = (x[2 * k], x[2 * k + 1]);
            let first = _mm256_permute2x128_si256::<0x20>(a, b);
            let second = _mm256_permute2x128_si256::<0x31>(a, b);
            // SAFETY: 32 · N bytes at `at · N` are in `out`, as the caller promises.
            unsafe {
                _mm256_storeu_si256(out.as_mut_ptr().add(at * N + 32 * k).cast(), first);
                _mm256_storeu_si256(out.as_mut_ptr().add(at * N + 16 * N + 32 * k).cast(), second);
            }
        }
    }
}
