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
    /// What new arrays have.
    pub fn usual(zarr_format: u8) -> Self {
        if zarr_format == 2 { Self::V2 { separator: '.' } } else { Self::Default { separator: '/' } }
    }

    /// An encoding of which no key is one of this, for arrays of Zarr v3.
    ///
    /// ```
    /// use lazarr_format::KeyEncoding;
    /// let usual = KeyEncoding::usual(3);
    /// assert_eq!((usual.key(&[2, 5]), usual.other().key(&[2, 5])), ("c/2/5".into(), "2.5".into()));
    /// assert_eq!(usual.other().other(), usual);
    /// ```
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Default { .. } => Self::V2 { separator: '.' },
            Self::V2 { .. } => Self::Default { separator: '/' },
        }
    }

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

    /// The place of the chunk that has this key, of an array with so many dimensions; `None` where the key is no chunk's.
    ///
    /// ```
    /// use lazarr_format::KeyEncoding;
    /// assert_eq!(KeyEncoding::Default { separator: '/' }.place("c/2/5", 2), Some(vec![2, 5]));
    /// assert_eq!(KeyEncoding::Default { separator: '/' }.place("c/2/05", 2), None);
    /// assert_eq!(KeyEncoding::V2 { separator: '.' }.place("0", 0), Some(vec![]));
    /// ```
    pub fn place(self, key: &str, rank: usize) -> Option<Vec<u64>> {
        let (rest, separator) = match self {
            Self::Default { separator } => (key.strip_prefix('c')?, separator),
            Self::V2 { separator } => (key, separator),
        };
        let at = if rank == 0 {
            Vec::new()
        } else {
            let rest = match self {
                Self::Default { separator } => rest.strip_prefix(separator)?,
                Self::V2 { .. } => rest,
            };
            rest.split(separator).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?
        };
        // A number has one spelling.
        (at.len() == rank && self.key(&at) == key).then_some(at)
    }
}
