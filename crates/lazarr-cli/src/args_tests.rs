use clap::CommandFactory;

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
