//! `lazarr write`, `optimize` and `repair`.

use std::fs;

use serde_json::Value;

use super::{command, run, run_json, store::Store};

/// Snapshots of what each of these prints, on one store; `STORE.out` is written.
fn snapshot(name: &str, store: &Store, args: &[&str]) {
    kept(name, args, &run(store, args));
}

fn kept(name: &str, args: &[&str], text: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, description => args.join(" ") }, {
        insta::assert_snapshot!(name, text);
    });
}

/// What depends on the machine is `…`: times.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        for i in 1..words.len() {
            if matches!(words[i], "ms" | "s") && words[i - 1].parse::<f64>().is_ok() {
                words[i - 1] = "…";
            }
        }
        out += &words.join(" ");
        out.push('\n');
    }
    out
}

#[test]
fn what_is_written_is_a_store() {
    let store = Store::cells();
    let out = format!("{}.out", store.path());
    // An element that cannot be read is no reason to write half of a store.
    snapshot("write_of_a_broken_element", &store, &["write", "STORE", "STORE.out"]);
    assert!(!fs::exists(&out).unwrap());
    let part = ["write", "STORE", "STORE.out", "--query", "n_counts > 0", "--var", "1:", "--drop", "uns/odd"];
    let said = run(&store, &part);
    assert!(
        said.starts_with("STORE.out: ") && said.contains(" files, ") && said.ends_with(" arrays\n"),
        "{said}"
    );
    snapshot("write_part_tree", &store, &["tree", "STORE.out"]);
    snapshot("write_part_obs", &store, &["obs", "STORE.out", "--all", "--csv"]);
    snapshot("write_part_x", &store, &["head", "STORE.out", "X"]);
    assert!(run(&store, &["check", "STORE.out", "--deep"]).starts_with("well: "));
    snapshot("write_over_a_store", &store, &["write", "STORE", "STORE.out", "--skip-broken"]);
    let whole = [
        "write",
        "STORE",
        "STORE.out",
        "--skip-broken",
        "--force",
        "--layout",
        "archive",
        "--zarr-format",
        "2",
    ];
    let written = run_json(&store, &[&whole[..], &["--json"]].concat());
    assert_eq!(written["schema"], "lazarr-write/1");
    assert!(written["arrays"].as_u64() > Some(5) && written["files"].as_u64() >= written["arrays"].as_u64());
    assert_eq!(
        run(&store, &["obs", "STORE.out", "--all", "--csv"]),
        run(&store, &["obs", "STORE", "--all", "--csv"])
    );
    assert!(fs::exists(format!("{out}/.zmetadata")).unwrap());
}

#[test]
fn a_layout_comes_from_a_file() {
    let store = Store::cells();
    let file = format!("{}.json", store.path());
    let args = ["write", "STORE/obsm/X_pca", "STORE.out", "--layout", "STORE.json"];
    fs::write(
        &file,
        r#"{"rules": [{"path": "**", "chunk": {"rows": 2}, "codec": "none", "checksum": false}]}"#,
    )
    .unwrap();
    assert!(run(&store, &args).contains("3 files, 1 arrays"));
    fs::write(&file, r#"{"rules": [{"path": "**", "chunk": {"rows": 0}}]}"#).unwrap();
    snapshot("write_with_a_layout_that_is_none", &store, &[&args[..], &["--force"]].concat());
    snapshot("write_with_an_unknown_preset", &store, &["write", "STORE", "STORE.new", "--layout", "fast"]);
    snapshot(
        "write_without_what_is_not_there",
        &store,
        &["write", "STORE", "STORE.new", "--drop", "uns/odd", "--drop", "obs/batch"],
    );
    snapshot(
        "write_to_a_network",
        &store,
        &["write", "STORE", "https://example.org/a.zarr", "--skip-broken"],
    );
    assert!(!fs::exists(format!("{}.new", store.path())).unwrap());
}

#[test]
fn optimising_measures_both() {
    let store = Store::cells();
    store.remove("uns/odd");
    let said = run(&store, &["optimize", "STORE", "STORE.out", "--for", "random"]);
    let lines: Vec<String> = without_times(&said).lines().map(str::to_owned).collect();
    // Sizes are those of encoders and of hand-written metadata: only that they are there.
    let named: Vec<&str> = lines
        .iter()
        .filter(|l| !l.starts_with("size") && !l.starts_with("files"))
        .map(String::as_str)
        .collect();
    kept("optimize", &["optimize"], &named.join("\n"));
    assert!(lines.iter().any(|l| l.starts_with("size")) && lines.iter().any(|l| l.starts_with("files")));
    let card = run_json(&store, &["optimize", "STORE", "STORE.out", "--for", "archive", "--force", "--json"]);
    assert_eq!((&card["schema"], &card["for"]), (&"lazarr-optimize/1".into(), &"archive".into()));
    for side in ["before", "after"] {
        assert!(
            card[side]["bytes"].as_u64() > Some(0) && card[side]["seconds"]["one gene"].is_f64(),
            "{card}"
        );
    }
    snapshot("optimize_for_nothing_known", &store, &["optimize", "STORE", "STORE.new", "--for", "speed"]);
}

#[test]
fn transposing_there_and_back() {
    let store = Store::cells();
    store.remove("uns/odd");
    // Without the line that says what it is.
    let head =
        |path: &str| run(&store, &["head", path, "X"]).split_once('\n').map(|(_, values)| values.to_owned());
    let said = run(&store, &["transpose", "STORE", "STORE.out"]);
    assert!(said.starts_with("X: csc\nSTORE.out: "), "{said}");
    assert!(run(&store, &["tree", "STORE.out", "X"]).contains("csc_matrix"));
    assert_eq!(head("STORE.out"), head("STORE"));
    let dense = ["transpose", "STORE", "STORE.out", "--force", "--element", "X", "--to", "dense", "--json"];
    let card = run_json(&store, &dense);
    assert_eq!((&card["schema"], &card["formats"]["X"]), (&"lazarr-transpose/1".into(), &"dense".into()));
    for (element, to) in [("obs", "csr"), ("layers/none", "csr")] {
        let said = run(&store, &["transpose", "STORE", "STORE.new", "--element", element, "--to", to]);
        assert!(said.contains("error: ") && said.contains(element), "{said}");
    }
    let said = run(&store, &["transpose", "STORE.out", "STORE.new"]);
    assert!(said.contains("csr or csc"), "{said}");
    assert!(!fs::exists(format!("{}.new", store.path())).unwrap());
}

#[test]
fn repair_clears_what_a_dead_writer_left() {
    let store = Store::cells();
    // Not `run`: repairing takes neither threads nor memory.
    let repair = |more: &[&str]| {
        let out = command(&[&["repair", store.path()][..], more].concat()).output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        String::from_utf8(out.stdout).unwrap().replace(store.folder(), "FOLDER")
    };
    assert_eq!(repair(&[]), "nothing was left by other writers\n");
    let left = format!("{}/.cells.zarr.lazarr-00000000000000a1", store.folder());
    fs::create_dir(&left).unwrap();
    fs::write(format!("{left}/zarr.json"), "{}").unwrap();
    assert_eq!(repair(&["--dry-run"]), "would be cleared: FOLDER/.cells.zarr.lazarr-00000000000000a1\n");
    assert!(fs::exists(&left).unwrap());
    let json: Value = serde_json::from_str(&repair(&["--json"])).unwrap();
    assert_eq!(json["left"][0]["busy"], false);
    assert!(!fs::exists(&left).unwrap());
    assert_eq!(repair(&[]), "nothing was left by other writers\n");
}
