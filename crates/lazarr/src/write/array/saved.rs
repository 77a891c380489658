//! An array under way as it is noted, and gone on with.
//!
//! Shards that are open stay as long as they are: what was brought to the disk is looked at by its checksum, and what came
//! behind it is cut off. So the array goes on with the very next row, and its files are what they would have been.

use std::io::Read;

use lazarr_format::Result;
use lazarr_format::encode::{ArraySpec, ShardBuilder};
use serde_json::{Value as Json, json};

use super::{ArrayOut, Shard, no_memory};
use crate::write::log::{Keep, Log, Note, number};
use crate::write::manifest::Tally;

/// So many ends of texts are converted at a time.
const ENDS: usize = 1024;

impl ArrayOut<'_> {
    fn document(&self) -> String {
        let spec = &self.spec;
        if self.job.zarr_format() == 2 { spec.v2().to_string() } else { spec.v3().to_string() }
    }

    /// What there is: a line, and what is too large for one. Open shards are brought to the disk.
    pub(in crate::write) fn save(&mut self, note: &mut Note) -> Result<Json> {
        let mut shards: Vec<_> = self.shards.iter_mut().collect();
        shards.sort_by(|a, b| a.0.cmp(b.0));
        let mut open = Vec::with_capacity(shards.len());
        for (at, shard) in shards {
            shard.writer.sync()?;
            let entries = shard.index.entries();
            note.write(entries)?;
            open.push(
                json!({"at": at, "bytes": shard.bytes, "crc": shard.crc, "entries": entries.len() as u64}),
            );
        }
        note.write(&self.pending.bytes)?;
        for ends in self.pending.ends.chunks(ENDS) {
            let bytes: Vec<u8> = ends.iter().flat_map(|&end| (end as u64).to_le_bytes()).collect();
            note.write(&bytes)?;
        }
        Ok(json!({
            "document": self.document(), "strips": self.strips, "rows": self.rows(), "tally": self.tally.to_json(),
            "shards": open, "pending": self.pending.bytes.len() as u64, "ends": self.pending.ends.len() as u64,
        }))
    }

    /// Brings the array to where it was noted; false where it is another, or its files are not those that were there.
    pub(in crate::write) fn restore(
        &mut self,
        saved: &Json,
        note: &mut dyn Read,
        log: &Log<'_>,
    ) -> Result<bool> {
        let Some(tally) = saved.get("tally").and_then(Tally::of_json) else { return Ok(false) };
        self.spec.shape[0] = number(saved, "rows");
        if saved.get("document").and_then(Json::as_str) != Some(&self.document()) {
            return Ok(false);
        }
        (self.strips, self.tally) = (number(saved, "strips"), tally);
        for shard in saved.get("shards").and_then(Json::as_array).into_iter().flatten() {
            if !self.reopen(shard, note, log)? {
                return Ok(false);
            }
        }
        if !self.refill(number(saved, "pending"), number(saved, "ends"), note)? {
            return Ok(false);
        }
        // Files of rows behind are those of a writer that went on: they are made anew.
        let open: Vec<_> = self.shards.keys().map(|at| self.spec.keys.key(at)).collect();
        let per = self.spec.outer().first().copied().unwrap_or(1).max(1) / self.strip_rows();
        let full = self.shards.keys().map(|at| at[0]).min().unwrap_or(self.strips / per.max(1));
        let keep = |name: &str| {
            if open.iter().any(|key| key == name) {
                return Keep::Uncounted;
            }
            if row_of(name).is_some_and(|row| row < full) { Keep::Yes } else { Keep::No }
        };
        Ok(log.is_same(log.count(&self.spec.path, &keep)?, tally))
    }

    /// Goes on with a shard that was open.
    fn reopen(&mut self, saved: &Json, note: &mut dyn Read, log: &Log<'_>) -> Result<bool> {
        let at: Option<Vec<u64>> =
            saved.get("at").and_then(Json::as_array).map(|at| at.iter().filter_map(Json::as_u64).collect());
        let Some(at) = at.filter(|at| at.len() == self.spec.shape.len()) else { return Ok(false) };
        let key = self.spec.key(&at);
        let (bytes, mut crc) = (number(saved, "bytes"), 0);
        let Some(files) = log.unfinished() else { return Ok(false) };
        let whole = files.read(&key, bytes, &mut |piece| crc = crc32c::crc32c_append(crc, piece))?;
        let entries = self.entries_of_shard();
        if !whole || u64::from(crc) != number(saved, "crc") || number(saved, "entries") != 16 * entries {
            return Ok(false);
        }
        let held = self.job.draft.holds()[0];
        self.index_charge.grow(16 * entries + held, "a shard under way: its index, and what is not sent")?;
        let mut index = vec![0; usize::try_from(16 * entries).unwrap_or(0)];
        if note.read_exact(&mut index).is_err() {
            return Ok(false);
        }
        let writer = files.reopen(&key, bytes)?;
        let index = ShardBuilder::resume(index, bytes);
        self.shards.insert(at, Shard { key, writer, index, bytes, crc });
        Ok(true)
    }

    /// Inner chunks of a shard.
    fn entries_of_shard(&self) -> u64 {
        let ArraySpec { inner, shard, .. } = &self.spec;
        let per = shard.iter().flatten().zip(inner).map(|(s, c)| s / (*c).max(1));
        per.fold(1u64, u64::saturating_mul)
    }

    /// The rows that do not fill a chunk.
    fn refill(&mut self, bytes: u64, ends: u64, note: &mut dyn Read) -> Result<bool> {
        let (Ok(length), Ok(count)) = (usize::try_from(bytes), usize::try_from(ends)) else {
            return Ok(false);
        };
        let row = self.row.saturating_mul(self.item.unwrap_or(0) as u64);
        let strip = self.strip_rows().saturating_mul(row);
        // As when they came: room for a whole strip of fixed items.
        let room = if self.item.is_some() && bytes > 0 { strip.max(bytes) } else { bytes };
        let held = room.saturating_add(ends.saturating_mul(8));
        self.charge.grow_to(held, "rows of a chunk that is not full yet")?;
        let room = usize::try_from(room).unwrap_or(length);
        self.pending.bytes.try_reserve_exact(room).map_err(no_memory)?;
        self.pending.bytes.resize(length, 0);
        if note.read_exact(&mut self.pending.bytes).is_err() {
            return Ok(false);
        }
        self.pending.ends.try_reserve_exact(count).map_err(no_memory)?;
        let mut end = [0; 8];
        for _ in 0..count {
            if note.read_exact(&mut end).is_err() {
                return Ok(false);
            }
            self.pending.ends.push(usize::try_from(u64::from_le_bytes(end)).unwrap_or(usize::MAX));
        }
        Ok(true)
    }
}

/// The first place of a chunk's key within its array.
fn row_of(name: &str) -> Option<u64> {
    name.strip_prefix("c/").unwrap_or(name).split(['/', '.']).next()?.parse().ok()
}
