use super::{Code, Error};

const HEADINGS: [&str; 5] =
    ["What it means", "How it looks", "Likely causes", "What to do", "What can still be read"];

#[test]
fn every_code_has_a_page_that_says_all_of_it() {
    for &code in Code::ALL {
        let page = code.page();
        let (id, title) = page.lines().next().unwrap().split_once(": ").unwrap();
        assert_eq!(id, format!("# {}", code.id()), "{code:?}");
        assert!(title == code.title() && title.len() > 10, "{code:?}");
        let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
        let headings: Vec<&str> = sections.iter().filter_map(|s| s.lines().next()).collect();
        assert_eq!(headings, HEADINGS, "{code:?}");
        for section in &sections {
            let (heading, body) = section.split_once('\n').unwrap();
            assert!(body.trim().len() > 20, "{code:?}: {heading} is empty");
        }
        // What it shows is an error of this code, and of no other.
        let shown = sections[1].lines().filter(|l| l.ends_with(']') && l.contains(" [LZ"));
        let suffix = format!(" [{}]", code.id());
        assert_eq!(shown.map(|l| l.ends_with(&suffix)).collect::<Vec<_>>(), [true], "{code:?}");
        for list in [sections[2], sections[3]] {
            assert!(list.lines().any(|l| l.starts_with("- ")), "{code:?}");
        }
        assert!(page.lines().all(|l| l.chars().count() <= 120 || l.ends_with(&suffix)), "{code:?}");
    }
}

#[test]
fn codes_are_found_by_their_number_and_are_in_order() {
    for &code in Code::ALL {
        assert_eq!(Code::from_id(code.id()), Some(code));
        assert_eq!(Code::from_id(&format!(" {} ", code.id().to_lowercase())), Some(code));
    }
    assert!(Code::ALL.windows(2).all(|w| w[0].id() < w[1].id()));
    for wrong in ["", "LZ", "LZ9999", "0302", "LZ03022", "ChunkLength"] {
        assert_eq!(Code::from_id(wrong), None, "{wrong}");
    }
}

#[test]
fn an_error_ends_with_its_code() {
    let e = Error::new(Code::ChunkLength, "short").help("Read it again");
    assert!(e.to_string().ends_with("Read it again [LZ0302]"));
}
