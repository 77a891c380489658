//! The command as a user runs it: what it prints, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod get;
mod joined;
mod store;
mod write;

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::store::Store;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazarr"));
    command.args(args).env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
    command
}

/// Runs it and writes down all that a user sees; the store's directory is `STORE`.
fn run(store: &Store, args: &[&str]) -> String {
    let args: Vec<String> = args.iter().map(|a| a.replace("STORE", store.path())).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let out = command(&args).args(["--threads", "2", "--memory", "256MiB"]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(store.path(), "STORE");
    let (stdout, stderr) = (text(out.stdout), text(out.stderr));
    for c in stdout.chars().chain(stderr.chars()) {
        assert!(c == '\n' || !c.is_control(), "a control character reached the terminal: {stdout}{stderr}");
        assert_ne!(c, '\u{202e}', "text was turned around");
    }
    // What is said of the store is said once, before anything else; `a_note_on_the_store` looks at it.
    let (notes, errors): (Vec<&str>, Vec<&str>) = stderr.lines().partition(|l| l.starts_with("note: "));
    assert!(notes.len() <= 1 && notes.iter().all(|n| n.contains("not consolidated")), "{notes:?}");
    assert!(errors.len() <= 1, "an error is one sentence: {stderr}");
    let code = out.status.code().unwrap();
    if code != 0 {
        let error = errors.first().map(|e| format!("{e}\n")).unwrap_or_default();
        // What a check found is its result.
        assert!(stdout.is_empty() || error.is_empty(), "a failure printed results: {stdout}");
        return format!("exit {code}\n{error}{stdout}");
    }
    assert!(errors.is_empty(), "{stderr}");
    stdout
}

fn run_json(store: &Store, args: &[&str]) -> Value {
    let text = run(store, args);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

macro_rules! snapshots {
    ($($name:ident: $args:expr;)*) => {$(
        #[test]
        fn $name() {
            let args: &[&str] = &$args;
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, description => args.join(" ") }, {
                insta::assert_snapshot!(stringify!($name), run(&Store::cells(), args));
            });
        }
    )*};
}

snapshots! {
    tree: ["tree", "STORE"];
    tree_of_an_element: ["tree", "STORE", "obs", "--depth", "1"];
    tree_json: ["tree", "STORE", "uns", "--json"];
    obs: ["obs", "STORE"];
    obs_json: ["obs", "STORE", "--json"];
    obs_columns: ["obs", "STORE", "cell_type", "-n", "3"];
    obs_query: ["obs", "STORE", "--query", "cell_type == 'B cell' or n_counts > 30"];
    obs_query_of_nothing: ["obs", "STORE", "--query", "n_counts > 1000"];
    obs_query_json: ["obs", "STORE", "n_counts", "--query", "cell_type.isna() or index == 'c0'", "--json"];
    obs_all_csv: ["obs", "STORE", "--all", "--csv"];
    obs_all: ["obs", "STORE", "--all"];
    obs_value_counts: ["obs", "STORE", "--value-counts", "cell_type"];
    obs_value_counts_of_a_query: ["obs", "STORE", "--value-counts", "cell_type", "--query", "n_counts > 20"];
    obs_value_counts_json: ["obs", "STORE", "--value-counts", "cell_type", "--json"];
    obs_value_counts_of_numbers: ["obs", "STORE", "--value-counts", "n_counts"];
    var: ["var", "STORE"];
    var_rows: ["var", "STORE", "--query", "index.str.startswith('CD')"];
    query_with_an_unknown_column: ["obs", "STORE", "--query", "cel_type == 'x'"];
    query_that_is_not_closed: ["obs", "STORE", "--query", "cell_type == 'T cell"];
    query_of_the_wrong_type: ["obs", "STORE", "--query", "n_counts == 1 and cell_type > 5"];
    obs_unknown_column: ["obs", "STORE", "n_count"];
    obs_of_no_anndata: ["obs", "STORE/X"];
    value_counts_and_columns: ["obs", "STORE", "n_counts", "--value-counts", "cell_type"];
    du: ["du", "STORE"];
    du_one_level: ["du", "STORE", "--depth", "1"];
    du_json: ["du", "STORE", "obs", "--depth", "1", "--json"];
    check: ["check", "STORE"];
    check_deep: ["check", "STORE", "--deep"];
    plan_of_a_query: ["plan", "STORE", "X", "--query", "n_counts > 20", "--resolve"];
    get_without_a_kind: ["get", "STORE", "X", "-o", "x.bin"];
    get_a_matrix_as_a_table: ["get", "STORE", "X", "-o", "x.csv"];
    get_a_table_as_an_array: ["get", "STORE", "obs", "-o", "x.npy"];
    get_a_mapping: ["get", "STORE", "uns", "-o", "x.csv"];
    get_text_as_an_array: ["get", "STORE", "uns/title", "-o", "x.npy"];
    get_an_archive_to_stdout: ["get", "STORE", "X", "-o", "-", "--format", "npz"];
    get_obs_to_stdout: ["get", "STORE", "-o", "-"];
    get_columns_of_a_query_to_stdout: ["get", "STORE", "obs/cell_type", "--query", "n_counts > 0", "--obs", "::-1", "-o", "-"];
    get_dense_to_stdout: ["get", "STORE", "obsm/X_pca", "-o", "-", "--obs", "@c4,c0"];
    get_in_a_folder_that_is_not_there: ["get", "STORE", "X", "-o", "STORE/no/such/x.npz"];
    info: ["info", "STORE"];
    info_json: ["info", "STORE", "--json"];
    plan_all_with_a_broken_element: ["plan", "STORE"];
    plan_rows_of_x: ["plan", "STORE", "X", "--obs", "1:3"];
    plan_rows_of_x_resolved: ["plan", "STORE", "X", "--obs", "1:3", "--resolve"];
    plan_rows_of_x_as_a_picture: ["plan", "STORE", "X", "--obs", "1:3", "--resolve", "--svg"];
    plan_genes_by_name: ["plan", "STORE", "X", "--var", "@NKG7,CD3D"];
    plan_genes_by_name_resolved: ["plan", "STORE", "X", "--var", "@NKG7,CD3D", "--resolve"];
    plan_of_a_mapping: ["plan", "STORE", "obsm", "--obs", "-1"];
    plan_json: ["plan", "STORE", "obs/n_counts", "--obs", "::2", "--json"];
    head: ["head", "STORE"];
    head_two_rows_one_column: ["head", "STORE", "-n", "2", "-c", "1"];
    head_json: ["head", "STORE", "-n", "3", "--json"];
    head_x: ["head", "STORE", "X", "-c", "3"];
    head_x_json: ["head", "STORE", "X", "-n", "2", "-c", "2", "--json"];
    head_dense: ["head", "STORE", "obsm/X_pca"];
    head_dense_json: ["head", "STORE", "obsm/X_pca", "--json"];
    head_column: ["head", "STORE", "obs/cell_type"];
    head_names: ["head", "STORE", "var/_index"];
    head_table_without_columns: ["head", "STORE", "var", "-n", "2"];
    head_mapping: ["head", "STORE", "uns"];
    head_scalar: ["head", "STORE", "uns/answer"];
    head_text_steers_no_terminal: ["head", "STORE", "uns/title"];
    head_text_steers_no_terminal_json: ["head", "STORE", "uns/title", "--json"];
    no_rows: ["head", "STORE", "-n", "0"];
    missing_path: ["info", "STORE/nothing/here"];
    missing_element: ["head", "STORE", "obs/cel_type"];
    broken_element: ["head", "STORE", "uns/odd"];
    unknown_name: ["plan", "STORE", "--var", "@CD3", "--resolve"];
    position_out_of_range: ["plan", "STORE", "--obs", "5,3"];
    plan_of_obs_knows_no_genes: ["plan", "STORE", "obs", "--var", "0"];
    remote_store: ["info", "ftp://host/cells.zarr"];
    unknown_verb: ["inform", "STORE"];
    no_path: ["plan"];
    selection_that_is_none: ["plan", "STORE", "--obs", "CD3D"];
    size_that_is_none: ["info", "STORE", "--memory", "lots"];
}

#[test]
fn a_plan_of_everything() {
    let store = Store::cells();
    store.remove("uns/odd");
    insta::assert_snapshot!("plan_all", run(&store, &["plan", "STORE", "--obs", "::2"]));
}

#[test]
fn a_path_inside_of_the_store_is_a_store() {
    let store = Store::cells();
    let path = format!("{}/X", store.path());
    let info = run_json(&store, &["info", &path, "--json"]);
    assert_eq!(info["kind"], "csr_matrix");
    assert_eq!(info["n_obs"], Value::Null);
    assert_eq!(info["elements"][0]["nnz"], 6);
    let head = run_json(&store, &["head", &path, "-n", "1", "--json"]);
    assert_eq!(head["columns"][2]["values"], serde_json::json!([2.5]));
    let plan = run_json(&store, &["plan", &path, "--obs", "0:2", "--var", "1,1", "--json"]);
    assert_eq!(plan["elements"][0]["selection"], "0:2, [1, 1]");
    assert!(run(&store, &["plan", &path, "--obs", "@c0"]).starts_with("exit 2\n"));
}

#[test]
fn broken_metadata_is_invalid_data() {
    let store = Store::cells();
    store.write("zarr.json", b"{ \"zarr_format\": 3, ");
    insta::assert_snapshot!("broken_json", run(&store, &["info", "STORE"]));
    let store = Store::cells();
    store.write("X/data/zarr.json", b"[]");
    let info = run_json(&store, &["info", "STORE", "--json"]);
    assert_eq!(info["elements"][1]["kind"], "broken");
    assert_eq!(info["costs"], serde_json::json!([]));
    assert_eq!(info["costs_error"]["code"], info["elements"][1]["error"]["code"]);
    insta::assert_snapshot!("info_with_broken_x", run(&store, &["info", "STORE"]));
}

#[test]
fn a_broken_column_is_named_and_the_others_are_shown() {
    let store = Store::cells();
    store.write("obs/cell_type/codes/zarr.json", b"[]");
    insta::assert_snapshot!("head_with_a_broken_column", run(&store, &["head", "STORE", "-n", "2"]));
}

#[test]
fn a_damaged_chunk_is_invalid_data() {
    let store = Store::cells();
    store.write("X/data/c/0", b"short");
    insta::assert_snapshot!("damaged_chunk", run(&store, &["head", "STORE", "X"]));
    // Names that cannot be read are said, and positions stand instead.
    let store = Store::cells();
    store.write("var/_index/c/0", b"\xff\xff\xff\xff");
    insta::assert_snapshot!("damaged_names", run(&store, &["head", "STORE", "X", "-n", "2"]));
}

#[test]
fn a_directory_that_is_no_store() {
    let store = Store::empty();
    insta::assert_snapshot!("no_store", run(&store, &["info", "STORE"]));
}

#[test]
fn too_little_memory_is_said() {
    let store = Store::empty();
    store.array("", "float64", &[100, 100], &vec![0; 80_000]);
    let out =
        command(&["head", store.path(), "-n", "100", "-c", "100", "--memory", "10KB"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8(out.stderr).unwrap().contains("LZ0601"));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let store = Store::cells();
    for args in [&["info", store.path(), "--json"][..], &["head", store.path()], &["--help"]] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(said.lines().all(|l| l.starts_with("note: ")), "{args:?}: {said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let out = command(&["info", Store::cells().path()]).stdout(full).output().unwrap();
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8(out.stderr).unwrap().contains("error: the output could not be written"));
}

#[test]
fn help_explains_selections_and_exit_codes() {
    let help = |args: &[&str]| String::from_utf8(command(args).output().unwrap().stdout).unwrap();
    assert!(help(&["--help"]).contains("exit code"));
    for flag in ["-h", "--help"] {
        assert!(help(&["plan", flag]).contains("@CD3D,CD8A"));
    }
    let none = command(&[]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8(none.stderr).unwrap().contains("Usage: lazarr"));
}

#[test]
fn a_note_on_the_store() {
    let store = Store::cells();
    let out = command(&["info", store.path()]).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap().replace(store.path(), "STORE");
    insta::assert_snapshot!("note", said);
    for quiet in ["-q", "--quiet"] {
        assert!(command(&["info", store.path(), quiet]).output().unwrap().stderr.is_empty());
    }
}

#[test]
fn a_check_names_every_fault() {
    let store = Store::cells();
    store.remove("uns/odd");
    assert!(run(&store, &["check", "STORE"]).contains("\nwell: "));
    store.write("X/data/c/0", b"short");
    store.write("obs/cell_type/codes/c/0", &[0, 1, 7, 1, 0]);
    store.write("left\u{1b}[31mover", b"text");
    insta::assert_snapshot!("check_deep_broken", run(&store, &["check", "STORE", "--deep"]));
    insta::assert_snapshot!("check_quick_of_broken", run(&store, &["check", "STORE"]));
    let out = command(&["check", store.path(), "--deep", "--json"]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((document["well"].as_bool(), document["errors"].as_u64()), (Some(false), Some(2)));
    let text = String::from_utf8(out.stdout).unwrap().replace(store.path(), "STORE");
    insta::assert_snapshot!("check_json", text);
}

#[test]
#[cfg(unix)]
fn links_that_lead_out_are_refused_unless_they_are_allowed() {
    let (store, other) = (Store::cells(), Store::cells());
    store.remove("obsm/X_pca");
    let target = format!("{}/obsm/X_pca", other.path());
    std::os::unix::fs::symlink(target, format!("{}/obsm/X_pca", store.path())).unwrap();
    let refused = run(&store, &["info", "STORE", "--json"]);
    assert!(refused.contains("LZ0104") && refused.contains("X_pca"), "{refused}");
    assert!(run(&store, &["head", "STORE", "obsm/X_pca"]).starts_with("exit 1\n"));
    assert!(run(&store, &["head", "STORE", "obsm/X_pca", "--follow-links"]).starts_with("obsm/X_pca: array"));
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let out = command(&["completions", shell]).output().unwrap();
        let script = String::from_utf8(out.stdout).unwrap();
        assert!(
            out.status.success() && script.contains("value-counts") && script.contains("completions"),
            "{shell}"
        );
    }
    assert_eq!(command(&["completions", "tcsh"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_store_that_cannot_be_read_is_an_error_of_reading() {
    let store = Store::cells();
    // A directory where a chunk should be.
    std::fs::remove_file(format!("{}/X/data/c/0", store.path())).unwrap();
    std::fs::create_dir(format!("{}/X/data/c/0", store.path())).unwrap();
    assert!(run(&store, &["head", "STORE", "X"]).starts_with("exit 3\n"));
    store.remove("uns/odd");
    assert!(run(&store, &["check", "STORE", "--deep"]).starts_with("exit 3\n"));
}
