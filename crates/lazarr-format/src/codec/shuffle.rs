//! numcodecs' `shuffle`: all first bytes of the items, then all second bytes, …

use super::broken;
use super::step::Progress;
use crate::Result;

pub(super) fn decode(size: usize, encoded: &[u8], room: &mut [u8]) -> Result<Progress> {
    let Some(room) = room.get_mut(..encoded.len()) else { return Ok(Progress::Full) };
    if !encoded.len().is_multiple_of(size) {
        return Err(broken(
            "shuffle",
            format_args!("{} bytes are no whole number of items of {size} bytes", encoded.len()),
        ));
    }
    let items = encoded.len() / size;
    if items > 0 {
        for (place, bytes) in encoded.chunks_exact(items).enumerate() {
            for (&byte, item) in bytes.iter().zip(room.chunks_exact_mut(size)) {
                item[place] = byte;
            }
        }
    }
    Ok(Progress::Done(encoded.len()))
}
