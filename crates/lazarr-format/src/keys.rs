//! How the key of a chunk is spelled.

/// The chunk key encodings of Zarr v2 and v3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEncoding {
    /// v3's default: `c/0/1`, or `c.0.1`; `c` for no dimensions.
    Default {
        /// `/` or `.`.
        separator: char,
    },
    /// v2's: `0.1`, or `0/1`; `0` for no dimensions.
    V2 {
        /// `/` or `.`.
        separator: char,
    },
}

impl KeyEncoding {
    /// The key of the chunk at this place, relative to its array.
    ///
    /// ```
    /// use lazarr_format::KeyEncoding;
    /// assert_eq!(KeyEncoding::Default { separator: '/' }.key(&[2, 5]), "c/2/5");
    /// assert_eq!(KeyEncoding::Default { separator: '/' }.key(&[]), "c");
    /// assert_eq!(KeyEncoding::V2 { separator: '.' }.key(&[2, 5]), "2.5");
    /// assert_eq!(KeyEncoding::V2 { separator: '.' }.key(&[]), "0");
    /// ```
    pub fn key(self, at: &[u64]) -> String {
        use std::fmt::Write;
        let mut key = String::new();
        let separator = match self {
            Self::Default { separator } => {
                key.push('c');
                separator
            }
            Self::V2 { separator } => separator,
        };
        for i in at {
            if !key.is_empty() {
                key.push(separator);
            }
            let _ = write!(key, "{i}"); // writing to a String cannot fail
        }
        if key.is_empty() { "0".into() } else { key }
    }
}
