use super::*;
use crate::{Amount, StagePlan};

fn plan(path: &str, map: ChunkMap) -> Plan {
    let array = ArrayPlan {
        path: format!("{path}/data"),
        chunks: Amount::exact(3),
        chunks_total: 10,
        fetch_bytes: Amount::upper(4700),
        map,
        ..ArrayPlan::default()
    };
    let stage = StagePlan { name: "values".into(), round_trips: Amount::exact(1), arrays: vec![array] };
    let element = ElementPlan {
        path: path.into(),
        what: "csr_matrix float32 (50 × 20)".into(),
        selection: "0:10, :".into(),
        stages: vec![stage],
        ..ElementPlan::default()
    };
    let mut plan = Plan { elements: vec![element], ..Plan::default() };
    plan.total();
    plan
}

fn axis(chunks: u64, shard: u64, touched: &[u64]) -> AxisMap {
    AxisMap { chunks, shard, per: 1, touched: touched.to_vec() }
}

#[test]
fn a_strip_has_its_touched_chunks_and_its_shards() {
    let map = ChunkMap { axes: vec![axis(10, 5, &[1, 1, 1, 0, 0, 0, 0, 0, 0, 0])], asked: 20, items: 30 };
    let svg = plan("X", map).to_svg();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert_eq!(svg.matches("stroke=\"currentColor\"").count(), 2);
    // The ground of the strip, three chunks, two bars, two keys.
    assert_eq!(svg.matches("<rect").count(), 2 + 1 + 3 + 2 + 2);
    assert!(svg.contains("3 of 10 chunks"));
    assert!(svg.contains("≤ 4.7 KB, 67 % asked"), "{svg}");
}

#[test]
fn two_axes_are_a_grid() {
    let map =
        ChunkMap { axes: vec![axis(4, 4, &[1, 0, 0, 1]), axis(3, 3, &[0, 1, 1])], asked: 1, items: 400 };
    let svg = plan("layers/dense", map).to_svg();
    assert_eq!(svg.matches("fill=\"#2f7ebc\"").count(), 4 + 1 + 1);
    assert!(svg.contains("0.25 % asked"), "{svg}");
}

#[test]
fn names_of_a_store_are_text() {
    let svg = plan("<script>alert('x')</script>\u{1b}&\"", ChunkMap::default()).to_svg();
    assert!(!svg.contains("<script"));
    assert!(!svg.contains('\u{1b}'));
    assert!(svg.contains("&lt;script&gt;alert(&#39;x&#39;)"));
    assert!(svg.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn many_arrays_are_counted() {
    let one = plan("X", ChunkMap::default());
    let mut many = Plan::default();
    for _ in 0..30 {
        many.then(one.clone());
    }
    assert!(many.to_svg().contains("and 6 smaller arrays"));
}
