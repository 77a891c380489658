//! `lazarr diff`, `concat`, `append`, and writing that is resumed.

use std::fs;

use super::{command, run, run_json, store::Store};

/// The same cells as `STORE.same` and, with one number changed, as `STORE.other`.
fn three() -> Store {
    let store = Store::cells();
    store.remove("uns/odd");
    for name in ["STORE.same", "STORE.other"] {
        assert!(run(&store, &["write", "STORE", name, "--zarr-format", "3"]).starts_with(name));
    }
    let counts = [10i64, -2, 31, 4, 50];
    let bytes: Vec<u8> = counts.iter().flat_map(|n| n.to_le_bytes()).collect();
    store.write("obs/n_counts/c/0", &bytes);
    assert!(run(&store, &["write", "STORE", "STORE.other", "--force"]).starts_with("STORE.other"));
    store
}

#[test]
fn a_difference_is_named() {
    let store = three();
    assert_eq!(run(&store, &["diff", "STORE", "STORE.other"]), "equal\n");
    assert_eq!(
        run(&store, &["diff", "STORE.same", "STORE.other"]),
        "exit 1\nobs/n_counts: 1 value differs, first at [2]: 30 and 31\n1 difference\n"
    );
    let args = ["diff", "STORE.same/obs/n_counts", "STORE.other/obs/n_counts", "--json"];
    let args: Vec<String> = args.iter().map(|a| a.replace("STORE", store.path())).collect();
    let out = command(&args.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&json["schema"], &json["equal"]), (&"lazarr-diff/1".into(), &false.into()));
    assert_eq!(json["differences"][0]["at"], serde_json::json!([2]));
    let equal = run_json(&store, &["diff", "STORE.same/X", "STORE.other/X", "--json"]);
    assert_eq!(equal["equal"], true);
    // What cannot be compared is no difference.
    let absent = run(&store, &["diff", "STORE", "STORE.nowhere"]);
    assert!(absent.starts_with("exit 3\nerror: "), "{absent}");
}

#[test]
fn cells_are_joined() {
    let store = three();
    let said = run(&store, &["concat", "STORE.out", "STORE.same", "STORE.other", "--label", "batch"]);
    assert!(said.starts_with("STORE.out: ") && said.ends_with(" arrays\n"), "{said}");
    assert!(run(&store, &["info", "STORE.out"]).contains("10"), "ten cells");
    let table = run(&store, &["obs", "STORE.out", "--all", "--csv"]);
    assert_eq!(table.lines().count(), 11, "{table}");
    assert!(table.lines().next().unwrap().contains("batch"), "{table}");
    assert_eq!(run(&store, &["diff", "STORE.out/X", "STORE.out/X"]), "equal\n");
    let again = run(&store, &["concat", "STORE.out", "STORE.same"]);
    assert!(again.starts_with("exit 2\nerror: "), "{again}");
    let args =
        ["concat", "STORE.out", "STORE.same", "STORE.other", "--force", "--json", "--index-unique", "-"];
    let json = run_json(&store, &args);
    assert_eq!(json["schema"], "lazarr-concat/1");
    assert!(run(&store, &["obs", "STORE.out", "--all", "--csv"]).contains("c0-1"));
    // Appending is joining at the end.
    let args = ["append", "STORE.same", "STORE.other"];
    let said = run(&store, &args);
    assert!(said.starts_with("STORE.same: ") && said.contains("files written"), "{said}");
    run(&store, &["concat", "STORE.joined", "STORE", "STORE.other", "--force"]);
    assert_eq!(run(&store, &["obs", "STORE.same", "--all", "--csv"]).lines().count(), 11);
    assert_eq!(run(&store, &["diff", "STORE.same/X", "STORE.joined/X"]), "equal\n");
    let json = run_json(&store, &["append", "STORE.same", "STORE.other", "--json"]);
    assert_eq!(json["schema"], "lazarr-append/1");
    assert_eq!(run(&store, &["obs", "STORE.same", "--all", "--csv"]).lines().count(), 16);
    assert!(run(&store, &["check", "STORE.same", "--deep"]).starts_with("well: "));
}

#[test]
fn what_cannot_be_appended_changes_nothing() {
    let store = three();
    let before = run(&store, &["obs", "STORE.same", "--all", "--csv"]);
    let fewer = run(&store, &["write", "STORE", "STORE.fewer", "--var", "1:"]);
    assert!(fewer.starts_with("STORE.fewer"), "{fewer}");
    let said = run(&store, &["append", "STORE.same", "STORE.fewer"]);
    assert!(said.starts_with("exit 2\nerror: ") && said.contains("other genes"), "{said}");
    let said = run(&store, &["append", "STORE.nowhere", "STORE.other"]);
    assert!(said.starts_with("exit 3\nerror: "), "{said}");
    assert_eq!(run(&store, &["obs", "STORE.same", "--all", "--csv"]), before);
}

/// Nothing but these stores is in the folder.
fn stands(store: &Store) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(store.folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_done_is_not_done_again() {
    for command in [
        &["write", "STORE", "STORE.out"][..],
        &["optimize", "STORE", "STORE.out", "--for", "rows"],
        &["transpose", "STORE", "STORE.out"],
        &["concat", "STORE.out", "STORE"],
    ] {
        let resumed = [command, &["--resume"]].concat();
        let store = Store::cells();
        let x = run(&store, &["head", "STORE", "X"]).split_once('\n').unwrap().1.to_owned();
        // The last column cannot be read.
        let file = format!("{}/obsm/X_pca/c/0/0", store.path());
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..9]).unwrap();
        store.remove("uns/odd");
        let said = run(&store, &resumed);
        assert!(said.starts_with("exit 1\nerror: ") && said.contains("obsm/X_pca`: "), "{command:?} {said}");
        assert_eq!(stands(&store).len(), 3, "the store, what was begun and its log: {:?}", stands(&store));
        fs::write(&file, &bytes).unwrap();
        // What was begun is named, and stays.
        let args = ["repair", store.folder()];
        let out = super::command(&args).output().unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        assert!(said.starts_with("can be gone on with, --resume; or cleared, --discard: "), "{said}");
        // Another request is not the same.
        let other = match command[0] {
            "optimize" => run(&store, &["optimize", "STORE", "STORE.out", "--for", "random", "--resume"]),
            _ => run(&store, &[&resumed[..], &["--layout", "random"]].concat()),
        };
        assert!(other.starts_with("exit 2\nerror: ") && other.contains("LZ0807"), "{other}");
        let said = run(&store, &resumed);
        assert!(said.contains("STORE.out: "), "{said}");
        assert_eq!(stands(&store), ["cells.zarr", "cells.zarr.out"]);
        assert_eq!(run(&store, &["head", "STORE.out", "X"]).split_once('\n').unwrap().1, x);
        assert!(run(&store, &["check", "STORE.out", "--deep"]).starts_with("well: "));
    }
}

#[test]
fn a_matrix_that_is_done_is_not_read_again() {
    let store = Store::cells();
    let x = run(&store, &["head", "STORE", "X"]).split_once('\n').unwrap().1.to_owned();
    let args = ["write", "STORE", "STORE.out", "--resume"];
    store.remove("uns/odd");
    let file = format!("{}/obsm/X_pca/c/0/0", store.path());
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..9]).unwrap();
    assert!(run(&store, &args).starts_with("exit 1\nerror: `obsm/X_pca`"));
    fs::write(&file, &bytes).unwrap();
    fs::remove_file(format!("{}/X/data/c/0", store.path())).unwrap();
    let said = run(&store, &args);
    assert!(said.starts_with("STORE.out: "), "{said}");
    assert_eq!(run(&store, &["head", "STORE.out", "X"]).split_once('\n').unwrap().1, x);
    // Without being told, what was begun is cleared.
    let store = Store::cells();
    run(&store, &args);
    let out = command(&["repair", "--discard", store.folder()]).output().unwrap();
    assert!(String::from_utf8(out.stdout).unwrap().starts_with("cleared: "));
    assert_eq!(stands(&store), ["cells.zarr"]);
}
