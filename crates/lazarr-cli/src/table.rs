//! Rows of text in aligned columns.

use unicode_width::UnicodeWidthStr;

use crate::exit::Failure;
use crate::out::{Out, clean};

/// On which side a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// No cell is wider, in characters.
const WIDEST: usize = 48;

/// Writes a table: a header and rows, two spaces between columns.
pub(crate) fn write(
    out: &mut Out<'_>,
    header: &[(String, Align)],
    rows: &[Vec<String>],
) -> Result<(), Failure> {
    part(out, header, rows, true)
}

/// Writes rows with or without the header that they have.
pub(crate) fn part(
    out: &mut Out<'_>,
    header: &[(String, Align)],
    rows: &[Vec<String>],
    titled: bool,
) -> Result<(), Failure> {
    let header_cells: Vec<String> = header.iter().map(|(name, _)| short(name)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| short(c)).collect()).collect();
    let all = || std::iter::once(&header_cells).chain(&rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|k| all().filter_map(|r| r.get(k)).map(|c| c.width()).max().unwrap_or(0))
        .collect();
    let named = header_cells.iter().any(|h| !h.is_empty());
    for row in all().skip(usize::from(!named || !titled)) {
        let mut line = String::new();
        for ((cell, &width), (_, align)) in row.iter().zip(&widths).zip(header) {
            if !line.is_empty() || width == 0 {
                line.push_str("  ");
            }
            let gap = " ".repeat(width.saturating_sub(cell.width()));
            match align {
                Align::Left => line.extend([cell.as_str(), &gap]),
                Align::Right => line.extend([gap.as_str(), cell]),
            }
        }
        out.line(&line)?;
    }
    Ok(())
}

/// The beginning of what is long, steering no terminal.
fn short(text: &str) -> String {
    // Escaping makes text longer at most: what is cut before is not shown after.
    let cut: String = text.chars().take(WIDEST + 1).collect();
    let clean = clean(&cut);
    if clean.chars().count() <= WIDEST {
        return clean;
    }
    let mut start: String = clean.chars().take(WIDEST - 1).collect();
    start.push('…');
    start
}
