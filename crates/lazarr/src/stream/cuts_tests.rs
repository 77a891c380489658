use super::*;

fn cuts(most: u64, rows: &[(u64, u64)]) -> Cuts {
    let mut cutter = Cutter::new(most);
    for &(bytes, apart) in rows {
        cutter.row(bytes, apart);
    }
    cutter.finish()
}

#[test]
fn rows_are_cut_where_no_chunk_is_shared() {
    // Ten rows of 10 bytes, blocks of 50: the row nearest to an edge in the last quarter is the fourth.
    let rows = [(10, 0), (10, 9), (10, 9), (10, 9), (10, 1), (10, 5), (10, 9), (10, 9), (10, 2), (10, 9)];
    let found = cuts(50, &rows);
    assert_eq!(found.ends, [4, 8, 10]);
    assert_eq!(found.bytes, [40, 40, 20]);
}

#[test]
fn a_row_that_is_too_long_is_a_block_of_its_own() {
    let found = cuts(20, &[(10, 1), (100, 1), (10, 1), (10, 1), (10, 1)]);
    assert_eq!(found.ends, [1, 2, 4, 5]);
    assert_eq!(found.bytes, [10, 100, 20, 10]);
    assert_eq!(cuts(1, &[(4, 0), (4, 0), (4, 0)]).ends, [1, 2, 3]);
}

#[test]
fn no_rows_are_one_block() {
    assert_eq!(cuts(20, &[]), Cuts { ends: vec![0], bytes: vec![0] });
}

#[test]
fn the_distance_to_an_edge() {
    let edges = Cut::Every(100);
    assert_eq!(apart(edges, None, 30), 0);
    assert_eq!(apart(edges, Some(30), 30), 30);
    assert_eq!(apart(edges, Some(80), 80), 20);
    // The row before ends with the chunk: nothing is shared.
    assert_eq!(apart(edges, Some(100), 100), 0);
    assert_eq!(apart(edges, Some(99), 130), 0);
}
