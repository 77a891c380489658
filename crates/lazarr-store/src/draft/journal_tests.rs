use super::*;

#[test]
fn lines_are_read_up_to_the_first_that_is_not_whole() {
    let whole = line("one") + &line("two");
    let read = |bytes: &[u8]| lines(bytes);
    assert_eq!(read(whole.as_bytes()), (vec!["one".to_owned(), "two".to_owned()], whole.len() as u64));
    let first = line("one").len();
    for cut in first..whole.len() {
        assert_eq!(read(&whole.as_bytes()[..cut]), (vec!["one".to_owned()], first as u64), "{cut}");
    }
    for k in 0..whole.len() {
        let mut bytes = whole.clone().into_bytes();
        bytes[k] ^= 0x10;
        let found = read(&bytes).0;
        let before = ["one", "two"].iter().zip(&found).all(|(a, b)| a == b);
        assert!(before && found.len() == usize::from(k >= first), "{k}: {found:?}");
    }
}

#[test]
fn a_journal_is_that_of_one_folder() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("draft")).unwrap();
    fs::create_dir(at("other")).unwrap();
    let journal = LocalJournal::begin(&at("log"), &at("draft"), "this", &Fault::default(), false).unwrap();
    assert!(journal.is_empty() && !is_resumable(&at("draft"), &at("log")));
    journal.add("something").unwrap();
    assert!(!journal.is_empty() && is_resumable(&at("draft"), &at("log")));
    assert!(!is_resumable(&at("other"), &at("log")) && !is_resumable(&at("none"), &at("log")));
    // What takes its name is not it.
    fs::rename(at("draft"), at("away")).unwrap();
    fs::rename(at("other"), at("draft")).unwrap();
    assert!(!is_resumable(&at("draft"), &at("log")));
}
