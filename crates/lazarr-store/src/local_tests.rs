#![cfg(unix)]

use std::os::unix::fs::symlink;

use super::*;

/// A directory beside a store, and the store.
fn store() -> (tempfile::TempDir, LocalStore) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir_all(dir.path().join("outside")).unwrap();
    fs::write(root.join("a/b/0"), b"inside").unwrap();
    fs::write(dir.path().join("outside/0"), b"secret").unwrap();
    let store = LocalStore::open(&root).unwrap();
    (dir, store)
}

fn get(store: &LocalStore, key: &str) -> Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    Ok(store.get(key, &ByteRange::All, &mut |_| Ok(()), &mut out)?.map(|_| out))
}

#[test]
fn links_that_lead_out_are_refused_unless_they_are_allowed() {
    let (dir, store) = store();
    let root = store.root().to_owned();
    symlink(dir.path().join("outside"), root.join("folder")).unwrap();
    symlink("../../outside/0", root.join("a/file")).unwrap();
    for key in ["folder/0", "a/file"] {
        for _ in 0..2 {
            assert_eq!(get(&store, key).unwrap_err().code(), Code::StoreEscape, "{key}");
            assert_eq!(store.size(key, &mut |_| Ok(())).unwrap_err().code(), Code::StoreEscape, "{key}");
        }
        let e = get(&store, key).unwrap_err();
        assert!(e.help_text().unwrap().contains("follow_links"));
        let follows = store.clone().follow_links(true);
        assert_eq!(get(&follows, key).unwrap().unwrap(), b"secret");
    }
    assert_eq!(store.list("folder", &mut |_| Ok(())).unwrap_err().code(), Code::StoreEscape);
    assert_eq!(get(&store, "a/b/0").unwrap().unwrap(), b"inside");
    assert_eq!(get(&store, "a/b/1").unwrap(), None);
}

#[test]
fn links_that_stay_in_the_store_are_followed_and_so_is_one_to_the_store() {
    let (dir, store) = store();
    symlink("a/b", store.root().join("again")).unwrap();
    symlink("b/0", store.root().join("a/zero")).unwrap();
    assert_eq!(get(&store, "again/0").unwrap().unwrap(), b"inside");
    assert_eq!(get(&store, "a/zero").unwrap().unwrap(), b"inside");
    symlink(store.root(), dir.path().join("link.zarr")).unwrap();
    let linked = LocalStore::open(dir.path().join("link.zarr")).unwrap();
    assert_eq!(get(&linked, "again/0").unwrap().unwrap(), b"inside");
}

#[test]
fn links_in_a_circle_and_to_nothing_are_errors() {
    let (_dir, store) = store();
    let root = store.root().to_owned();
    symlink("..", root.join("a/up")).unwrap();
    symlink(".", root.join("a/here")).unwrap();
    symlink("two", root.join("one")).unwrap();
    symlink("one", root.join("two")).unwrap();
    symlink("nowhere", root.join("a/dangling")).unwrap();
    // Each leads into the other.
    fs::create_dir(root.join("c")).unwrap();
    symlink("../c", root.join("a/c")).unwrap();
    symlink("../a", root.join("c/a")).unwrap();
    for follow in [false, true] {
        let store = store.clone().follow_links(follow);
        for key in ["a/up/a/b/0", "a/here/b/0", "a/c/a/b/0"] {
            assert_eq!(get(&store, key).unwrap_err().code(), Code::StoreEscape, "{key}");
        }
        for key in ["one", "two/0", "a/dangling"] {
            assert_eq!(get(&store, key).unwrap_err().code(), Code::StoreIo, "{key}");
        }
    }
}

#[test]
fn links_are_found_below_folders_that_were_looked_at() {
    let (dir, store) = store();
    assert_eq!(store.size("a/b/0", &mut |_| Ok(())).unwrap(), Some(6));
    // Its folders are known; a link that comes below them later is not.
    symlink(dir.path().join("outside"), store.root().join("a/b/c")).unwrap();
    assert_eq!(store.size("a/b/c/0", &mut |_| Ok(())).unwrap_err().code(), Code::StoreEscape);
    assert_eq!(store.size("a/b/c/d/0", &mut |_| Ok(())).unwrap_err().code(), Code::StoreEscape);
}

#[test]
fn what_is_no_file_is_an_error_and_never_waited_for() {
    let (_dir, store) = store();
    let pipe = store.root().join("a/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(store.root().join("a/socket")).unwrap();
    symlink("pipe", store.root().join("a/link")).unwrap();
    for key in ["a/pipe", "a/socket", "a/link", "a/b"] {
        let e = get(&store, key).unwrap_err();
        assert_eq!((e.code(), e.key_name()), (Code::StoreIo, Some(key)), "{e}");
    }
}
