//! The names nearest to one that is not there.

/// Finds the three names nearest to a text, one name at a time.
#[derive(Debug, Clone)]
pub struct Nearest {
    text: String,
    best: Vec<(usize, String)>,
}

impl Nearest {
    /// Nearest to this text.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), best: Vec::new() }
    }

    /// Looks at a name.
    pub fn see(&mut self, name: &str) {
        // A name that differs by more in length than the worst found differs by more in all.
        let apart = self.text.len().abs_diff(name.len());
        if self.best.len() == 3 && self.best[2].0 <= apart {
            return;
        }
        let same_case = strsim::levenshtein(&self.text, name);
        let distance =
            same_case.min(strsim::levenshtein(&self.text.to_lowercase(), &name.to_lowercase()) + 1);
        let at = self.best.partition_point(|(d, _)| *d <= distance);
        if at < 3 {
            self.best.insert(at, (distance, name.to_owned()));
            self.best.truncate(3);
        }
    }

    /// The names found, as text.
    pub fn text(&self) -> String {
        let names: Vec<String> = self.best.iter().map(|(_, n)| format!("`{n}`")).collect();
        if names.is_empty() { "none: there are no names".into() } else { names.join(", ") }
    }
}

/// The three of these names that are nearest to a text; all of them where they are few.
pub fn nearest(text: &str, names: &[String]) -> String {
    if names.len() <= 8 && !names.is_empty() {
        let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
        return names.join(", ");
    }
    let mut nearest = Nearest::new(text);
    for name in names {
        nearest.see(name);
    }
    nearest.text()
}
