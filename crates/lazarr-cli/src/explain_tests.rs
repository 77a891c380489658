use lazarr::Code;

use super::{code, run};
use crate::args::Explain;
use crate::out::Out;

fn printed(code: Option<Code>) -> String {
    let mut bytes = Vec::new();
    let mut out = Out::new(&mut bytes);
    run(&Explain { code }, &mut out).unwrap();
    out.finish().unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_page_is_printed_as_it_is() {
    for &code in Code::ALL {
        assert_eq!(printed(Some(code)), code.page());
    }
}

#[test]
fn without_a_code_all_are_listed() {
    let text = printed(None);
    assert_eq!(text.lines().count(), Code::ALL.len());
    assert!(text.contains("LZ0302  the chunk has the wrong length\n"), "{text}");
}

#[test]
fn a_code_that_is_not_there_names_the_nearest() {
    assert_eq!(code("lz0302").unwrap(), Code::ChunkLength);
    let e = code("LZ03O2").unwrap_err();
    assert!(e.contains("LZ0302") && e.contains("lists them all"), "{e}");
}
