use clap::CommandFactory;

use lazarr::Limit;

use super::limit;
use super::{Cli, size};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn sizes_have_units_of_both_kinds() {
    assert_eq!(size("1000"), Ok(1000));
    assert_eq!(size("2GiB"), Ok(2 << 30));
    assert_eq!(size("1.5 kib"), Ok(1536));
    assert_eq!(size("500MB"), Ok(500_000_000));
    for bad in ["", "GiB", "1.2.3", "-1", "2 apples", "0", "1e3", "99999999TB"] {
        assert!(size(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_limit_has_a_name_and_a_value() {
    assert_eq!(limit("nodes=5"), Ok((Limit::Nodes, 5)));
    assert_eq!(limit("chunk_bytes=2GiB"), Ok((Limit::ChunkBytes, 2 << 30)));
    assert!(limit("node=5").unwrap_err().contains("metadata_bytes, json_depth, nodes"));
    assert!(limit("nodes").unwrap_err().contains("NAME=VALUE"));
    assert!(limit("json_depth=128").unwrap_err().contains("at most 127"));
    assert!(limit("nodes=0").is_err() && limit("nodes=many").is_err());
}
