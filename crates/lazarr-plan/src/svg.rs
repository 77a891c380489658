//! A plan as a picture: each array a strip (or a grid) of its chunks, shards outlined, touched chunks filled, and below it
//! what was asked against what is decoded for it. Plain SVG: no script, no style sheet, nothing from elsewhere.

use std::fmt::{self, Write};

use lazarr_format::escape;

use crate::picture::{AxisMap, ChunkMap};
use crate::plan::{ArrayPlan, ElementPlan, Plan};

/// Arrays that are drawn; the others are counted.
const MOST: usize = 24;
const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const STRIP: f64 = 430.0;
const RIGHT: f64 = LEFT + STRIP + 12.0;
const ROW: f64 = 14.0;
const FILL: &str = "#2f7ebc";
const ASKED: &str = "#e08214";
const EMPTY: &str = "#8884";

/// Text for SVG: no control characters, and nothing that is read as markup.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in escape(raw).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// The end of a text that is too long for its place.
fn short(raw: &str, most: usize) -> String {
    let length = raw.chars().count();
    if length <= most {
        return raw.to_owned();
    }
    std::iter::once('…').chain(raw.chars().skip(length + 1 - most)).collect()
}

struct Page {
    body: String,
    y: f64,
}

impl Page {
    fn line(&mut self, x: f64, size: u32, bold: bool, what: &str) -> fmt::Result {
        let weight = if bold { " font-weight=\"bold\"" } else { "" };
        let y = self.y;
        writeln!(self.body, "<text x=\"{x}\" y=\"{y:.1}\" font-size=\"{size}\"{weight}>{}</text>", text(what))
    }

    fn rect(&mut self, at: [f64; 4], fill: &str, opacity: f64) -> fmt::Result {
        let [x, y, w, h] = at;
        let faint = if opacity < 1.0 { format!(" fill-opacity=\"{opacity:.2}\"") } else { String::new() };
        writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"{fill}\"{faint}/>"
        )
    }

    fn outline(&mut self, at: [f64; 4]) -> fmt::Result {
        let [x, y, w, h] = at;
        writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"none\" stroke=\"currentColor\" \
             stroke-width=\"0.8\"/>"
        )
    }
}

/// Neighbouring places with the same share, as (first, one past the last, share).
fn spans(axis: &AxisMap) -> Vec<(usize, usize, f64)> {
    let mut out: Vec<(usize, usize, f64)> = Vec::new();
    for place in 0..axis.touched.len() {
        let share = axis.share(place);
        match out.last_mut() {
            // Chunks that are drawn one by one stay apart.
            Some((_, end, last)) if (*last - share).abs() < 1e-9 && axis.touched.len() > 48 => {
                *end = place + 1;
            }
            _ => out.push((place, place + 1, share)),
        }
    }
    out
}

/// Where shards begin along an axis, as shares of its length; none where they are too many to be seen.
fn shards(axis: &AxisMap) -> Vec<f64> {
    if axis.shard == 0 || axis.chunks == 0 || axis.chunks.div_ceil(axis.shard) > 64 {
        return vec![0.0, 1.0];
    }
    let edges = (0..axis.chunks.div_ceil(axis.shard)).map(|s| (s * axis.shard) as f64 / axis.chunks as f64);
    edges.chain([1.0]).collect()
}

fn draw(page: &mut Page, map: &ChunkMap) -> fmt::Result {
    let single = AxisMap { chunks: 1, shard: 0, per: 1, touched: vec![1] };
    // Axes beyond the second are not drawn. One axis lies along the strip; of two, rows go down.
    let (down, along) = match &map.axes[..] {
        [] => return Ok(()),
        [one] => (&single, one),
        [rows, columns, ..] if columns.chunks > 1 => (rows, columns),
        [rows, ..] => (&single, rows),
    };
    let height =
        if down.touched.len() > 1 { (down.touched.len() as f64 * 5.0).clamp(12.0, 120.0) } else { 12.0 };
    let top = page.y - 10.0;
    page.rect([LEFT, top, STRIP, height], EMPTY, 1.0)?;
    let place = |n: usize, axis: &AxisMap, length: f64| {
        let chunks = (n as u64 * axis.per).min(axis.chunks) as f64;
        chunks / axis.chunks.max(1) as f64 * length
    };
    for (r0, r1, rows) in spans(down) {
        for (c0, c1, columns) in spans(along) {
            let share = rows * columns;
            if share <= 0.0 {
                continue;
            }
            let (x0, x1) = (place(c0, along, STRIP), place(c1, along, STRIP));
            let (y0, y1) = (place(r0, down, height), place(r1, down, height));
            let gap = if x1 - x0 > 3.0 && y1 - y0 > 3.0 { 0.4 } else { 0.0 };
            let at = [LEFT + x0 + gap, top + y0 + gap, (x1 - x0 - 2.0 * gap).max(0.6), y1 - y0 - 2.0 * gap];
            page.rect(at, FILL, 0.25 + 0.75 * share)?;
        }
    }
    let (xs, ys) = (shards(along), shards(down));
    for y in ys.windows(2) {
        for x in xs.windows(2) {
            let at =
                [LEFT + x[0] * STRIP, top + y[0] * height, (x[1] - x[0]) * STRIP, (y[1] - y[0]) * height];
            page.outline(at)?;
        }
    }
    page.y += height - 12.0;
    Ok(())
}

fn array(page: &mut Page, stage: &str, element: &ElementPlan, a: &ArrayPlan) -> fmt::Result {
    let own = a.path.strip_prefix(&element.path).map_or(&*a.path, |p| p.trim_start_matches('/'));
    let name = if own.is_empty() { stage.to_owned() } else { own.to_owned() };
    page.y += ROW + 6.0;
    page.line(8.0, 11, false, &short(&name, 22))?;
    let first = page.y;
    let of = format!("{} of {} chunks", a.chunks.count(), crate::human_count(a.chunks_total));
    page.line(RIGHT, 11, false, &of)?;
    if a.map.axes.is_empty() {
        let (x, y) = (LEFT + 4.0, page.y);
        writeln!(
            page.body,
            "<text x=\"{x}\" y=\"{y:.1}\" font-size=\"10\" font-style=\"italic\">which ones is known once the plan is \
             resolved</text>"
        )?;
    }
    draw(page, &a.map)?;
    page.y = page.y.max(first);
    // What was asked against what its chunks hold.
    if a.map.items > 0 {
        let share = (a.map.asked as f64 / a.map.items as f64).min(1.0);
        page.rect([LEFT, page.y + 4.5, STRIP, 3.0], FILL, 0.25)?;
        page.rect([LEFT, page.y + 4.5, (STRIP * share).max(0.5), 3.0], ASKED, 1.0)?;
        page.y += 8.0;
        let percent =
            if share < 0.01 { format!("{:.2}", share * 100.0) } else { format!("{:.0}", share * 100.0) };
        page.y += 4.0;
        let fetch = format!("fetch {}, {percent} % asked", a.fetch_bytes.bytes());
        page.line(RIGHT, 10, false, &fetch)?;
    }
    page.y += 2.0;
    Ok(())
}

impl Plan {
    /// The plan as a picture: an SVG document.
    pub fn to_svg(&self) -> String {
        // Writing to a string does not fail.
        self.svg().unwrap_or_default()
    }

    fn svg(&self) -> Result<String, fmt::Error> {
        let mut page = Page { body: String::new(), y: 18.0 };
        let head = format!(
            "{} requests in {} round trips, fetch {}, result {}, peak memory {}",
            self.requests.count(),
            self.round_trips.count(),
            self.fetch_bytes.bytes(),
            self.output_bytes.bytes(),
            self.peak_bytes.bytes(),
        );
        page.line(8.0, 13, true, &head)?;
        let cost = |a: &ArrayPlan| a.fetch_bytes.value;
        let arrays = || self.elements.iter().flat_map(|e| &e.stages).flat_map(|s| &s.arrays);
        // Of one chunk there is nothing to see, unless there is nothing else.
        let plain = arrays().all(|a| a.chunks_total < 2);
        let shown = |a: &ArrayPlan| plain || a.chunks_total > 1;
        let mut all: Vec<u64> = arrays().filter(|a| shown(a)).map(cost).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        // The dearest arrays, in the order of the plan.
        let least = all.get(MOST - 1).copied().unwrap_or(0);
        let mut left = MOST;
        for element in &self.elements {
            let arrays = element.stages.iter().flat_map(|s| s.arrays.iter().map(move |a| (&s.name, a)));
            let drawn: Vec<_> = arrays.filter(|(_, a)| shown(a) && cost(a) >= least).take(left).collect();
            if drawn.is_empty() {
                continue;
            }
            left -= drawn.len();
            page.y += ROW + 12.0;
            let path = if element.path.is_empty() { "/" } else { &element.path };
            page.line(
                8.0,
                12,
                true,
                &short(&format!("{path} [{}]  {}", element.selection, element.what), 100),
            )?;
            for (stage, a) in drawn {
                array(&mut page, stage, element, a)?;
            }
        }
        let rest = arrays().count() - (MOST - left);
        if rest > 0 {
            page.y += ROW + 8.0;
            page.line(8.0, 11, false, &format!("and {rest} smaller arrays"))?;
        }
        page.y += ROW + 8.0;
        let (y, body) = (page.y, page.body);
        let key = format!(
            "<rect x=\"8\" y=\"{0:.1}\" width=\"10\" height=\"8\" fill=\"{FILL}\"/><text x=\"22\" y=\"{y:.1}\" \
             font-size=\"10\">chunks that are fetched; shards are outlined</text><rect x=\"300\" y=\"{0:.1}\" width=\"10\" \
             height=\"8\" fill=\"{ASKED}\"/><text x=\"314\" y=\"{y:.1}\" font-size=\"10\">what was asked, of what they \
             hold</text>",
            y - 8.0
        );
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {h:.0}\" width=\"{WIDTH}\" height=\"{h:.0}\" \
             font-family=\"sans-serif\" fill=\"currentColor\" role=\"img\">\n<title>{}</title>\n{body}{key}\n</svg>\n",
            text(&head),
            h = y + 10.0
        ))
    }
}

#[cfg(test)]
#[path = "svg_tests.rs"]
mod tests;
