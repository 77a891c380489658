//! What the threads hold, and what of it they hold only where they come to chunks side by side.

use super::Threads;

const CHUNK: u64 = 32 << 20;

fn threads(count: u64, chunks: u64) -> Threads {
    let encoded = CHUNK / 2;
    Threads {
        count,
        encoded,
        fetched: chunks * encoded,
        decoded: CHUNK,
        scratch: chunks,
        ..Threads::default()
    }
}

#[test]
fn a_few_large_chunks_may_all_be_taken_by_one_thread() {
    for (count, chunks, together, by_chance) in [
        (1, 2, CHUNK / 2 + CHUNK, 0),
        (2, 1, CHUNK / 2 + CHUNK, 0),
        (2, 2, CHUNK + 2 * CHUNK, CHUNK / 2 + CHUNK),
        (2, 7, CHUNK + 2 * CHUNK, CHUNK / 2 + CHUNK),
        (4, 3, 3 * CHUNK / 2 + 3 * CHUNK, CHUNK + 2 * CHUNK),
        // Many: one does not take them all.
        (2, 8, CHUNK + 2 * CHUNK, 0),
        (4, 100, 2 * CHUNK + 4 * CHUNK, 0),
    ] {
        let threads = threads(count, chunks);
        assert_eq!(threads.bytes().value, together, "{count} threads, {chunks} chunks");
        assert_eq!(threads.by_chance(), by_chance, "{count} threads, {chunks} chunks");
    }
}
