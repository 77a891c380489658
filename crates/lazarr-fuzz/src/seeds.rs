//! The first files of the corpora: what a writer writes, and crafted inputs that are wrong in one place.

use lazarr_format::DataType;
use lazarr_plan::expr::{AxisId, CmpOp, ColumnRef, Expr, Inclusive, Literal};
use lazarr_testkit::{Array, Codec, Items, Layout, Rng, Sample, Spec, Writer, Zip, ZipItem};
use serde_json::json;

/// An input by name.
pub type Seed = (String, Vec<u8>);

/// The seeds of a target; the same at each call.
pub fn of(target: &str) -> Vec<Seed> {
    match target {
        "metadata" => metadata(),
        "consolidated" => consolidated(),
        "shard_index" => shard_index(),
        "vlen_utf8" => vlen_utf8(),
        "csr_assembly" => csr_assembly(),
        "zip_directory" => zip_directory(),
        "expressions" => expressions(),
        codec => chunks(codec),
    }
}

fn small(version: u8, consolidated: bool) -> Sample {
    let layout = if version == 2 { Layout::v2() } else { Layout::sharded() };
    let layout = Layout { consolidated, ..layout };
    Sample::new(&Spec { layout, n_obs: 6, n_vars: 4, ..Spec::default() })
}

fn named(name: &str, parts: &[&[u8]]) -> Seed {
    (name.to_owned(), parts.concat())
}

fn metadata() -> Vec<Seed> {
    let mut out = Vec::new();
    let v3 = small(3, false).writer.values();
    let wanted = [
        "X/zarr.json",
        "X/data/zarr.json",
        "obs/note/zarr.json",
        "obs/flag/zarr.json",
        "obsm/X_3d/zarr.json",
    ];
    for key in wanted {
        out.push(named(&format!("v3-{}", key.replace('/', "-")), &[&[0], &v3[key]]));
    }
    let v2 = small(2, false).writer.values();
    for path in ["X/data", "obs/note", "obsm/X_3d"] {
        let name = format!("v2-{}", path.replace('/', "-"));
        let parts = [&[1][..], &v2[&format!("{path}/.zarray")], &[0], &v2[&format!("{path}/.zattrs")]];
        out.push(named(&name, &parts));
    }
    let v2 = |dtype: serde_json::Value, fill: serde_json::Value| {
        json!({"zarr_format": 2, "shape": [3], "chunks": [2], "dtype": dtype, "fill_value": fill, "order": "F",
            "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
            "filters": [{"id": "delta", "dtype": "<i4"}], "dimension_separator": "."})
    };
    let v3 = |field: &str, value: serde_json::Value| {
        let mut document = json!({"zarr_format": 3, "node_type": "array", "shape": [5, 3], "data_type": "float32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 3]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "fill_value": "NaN",
            "codecs": [{"name": "transpose", "configuration": {"order": [1, 0]}}, {"name": "bytes",
            "configuration": {"endian": "big"}}, {"name": "gzip", "configuration": {"level": 5}}], "attributes": {}});
        document[field] = value;
        document
    };
    for (k, document) in [
        v2(json!(">i4"), json!(-1)),
        v2(json!("<M8[ns]"), json!("NaT")),
        v2(json!("|S4"), json!("AAAA")),
        v2(json!([["a", "<f4"], ["b", [["c", "<U3"]]]]), json!(null)),
        v2(json!("<U4000000000"), json!("")),
    ]
    .into_iter()
    .enumerate()
    {
        out.push(named(&format!("v2-crafted-{k}"), &[&[1], document.to_string().as_bytes()]));
    }
    for (k, document) in [
        v3("shape", json!([u64::MAX, u64::MAX])),
        v3("shape", json!([5, -3])),
        v3("chunk_grid", json!({"name": "regular", "configuration": {"chunk_shape": [0, 3]}})),
        v3("chunk_grid", json!({"name": "regular", "configuration": {"chunk_shape": [1u64 << 40, 3]}})),
        v3("chunk_grid", json!({"name": "rectilinear", "configuration": {"kind": "inline",
            "chunk_shapes": [[1, [3, 2]], 3]}})),
        v3("data_type", json!({"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}})),
        v3("data_type", json!({"name": "fixed_length_utf32", "configuration": {"length_bytes": 1u64 << 33}})),
        v3("fill_value", json!("0x7fc00000")),
        v3("codecs", json!([{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "blosc",
            "configuration": {"cname": "zstd", "clevel": 5, "shuffle": "bitshuffle", "typesize": 4, "blocksize": 0}},
            {"name": "crc32c"}])),
        v3("codecs", json!([{"name": "sharding_indexed", "configuration": {"chunk_shape": [2, 3],
            "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"}], "index_location": "start"}}])),
        v3("attributes", json!({"encoding-type": "array", "encoding-version": "0.2.0"})),
    ]
    .into_iter()
    .enumerate()
    {
        out.push(named(&format!("v3-crafted-{k}"), &[&[0], document.to_string().as_bytes()]));
    }
    out.push(named("deep", &[&[0], "[".repeat(500).as_bytes()]));
    out.push(named("python-nan", &[&[0], br#"{"zarr_format": 3, "a": [NaN, -Infinity, "NaN"]}"#]));
    out
}

fn consolidated() -> Vec<Seed> {
    let mut out = Vec::new();
    for (version, flag, key) in [(3, 0u8, "zarr.json"), (2, 1, ".zmetadata")] {
        let values = small(version, true).writer.values();
        out.push(named(&format!("v{version}-sample"), &[&[flag], &values[key]]));
    }
    let group = json!({"zarr_format": 3, "node_type": "group", "attributes": {}});
    for (k, metadata) in [
        json!({}),
        json!([1]),
        json!({"a": group, "a/b": group, "a/b/c": 5}),
        json!({"../a": group}),
        json!({"a//b": group}),
        json!({"x/y/z": group, "": group}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut root = group.clone();
        root["consolidated_metadata"] =
            json!({"kind": "inline", "must_understand": false, "metadata": metadata});
        out.push(named(&format!("v3-crafted-{k}"), &[&[0], root.to_string().as_bytes()]));
        let v2 = json!({"zarr_consolidated_format": 1, "metadata": metadata});
        out.push(named(&format!("v2-crafted-{k}"), &[&[1], v2.to_string().as_bytes()]));
    }
    let v2 = json!({"zarr_consolidated_format": 1, "metadata": {".zgroup": {"zarr_format": 2}, "a/.zattrs": {"x": 1},
        "b/.zgroup": {"zarr_format": 2}, "b/.zarray": {}, "c/d/.zgroup": {"zarr_format": 3}}});
    out.push(named("v2-parts", &[&[1], v2.to_string().as_bytes()]));
    out
}

fn shard_index() -> Vec<Seed> {
    let entry = |offset: u64, length: u64| [offset.to_le_bytes(), length.to_le_bytes()].concat();
    let mut out = Vec::new();
    for flags in 0..16u8 {
        let flags = flags | 16;
        let body = [entry(0, 10), entry(64, 5), entry(u64::MAX, u64::MAX), entry(300, 40)].concat();
        out.push(named(&format!("plain-{flags}"), &[&[flags, 3, 0x00, 0x02], &body]));
    }
    for (k, (offset, length)) in
        [(u64::MAX, 1), (1, u64::MAX), (u64::MAX - 3, 32), (0, u64::MAX - 1), (1 << 40, 5)]
            .into_iter()
            .enumerate()
    {
        out.push(named(&format!("crafted-{k}"), &[&[24, 0, 0x00, 0x02], &entry(offset, length)]));
    }
    out.push(named("short", &[&[2, 5, 1, 2, 3]]));
    out
}

/// Text that compresses and is not all alike.
fn sample(len: usize) -> Vec<u8> {
    let mut rng = Rng::new(len as u64);
    (0..len).map(|i| if i % 5 == 0 { rng.number() as u8 } else { (i / 40) as u8 }).collect()
}

fn chunks(codec: &str) -> Vec<Seed> {
    let mut out = Vec::new();
    for len in [1usize, 64, 1000, 9000] {
        let raw = sample(len);
        let header = (len as u16).to_le_bytes();
        let mut add = |name: &str, parts: &[&[u8]]| out.push(named(&format!("{name}-{len}"), parts));
        let libdeflate = || libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
        match codec {
            "codec_zstd" => {
                for level in [1, 19] {
                    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(len));
                    zstd_safe::compress(&mut packed, &raw, level).unwrap();
                    add(&format!("level{level}"), &[&header, &packed]);
                }
                let mut context = zstd_safe::CCtx::create();
                context.set_parameter(zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
                context.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
                let mut packed = Vec::with_capacity(zstd_safe::compress_bound(len));
                context.compress2(&mut packed, &raw).unwrap();
                add("checksum", &[&header, &packed]);
                // Two frames, and one that is skipped.
                let half = len / 2;
                let mut two = Vec::new();
                for part in [&raw[..half], &raw[half..]] {
                    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(len));
                    zstd_safe::compress(&mut packed, part, 1).unwrap();
                    two.extend(packed);
                }
                add("frames", &[&header, &two]);
                add("skipped", &[&header, &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], &two]);
            }
            "codec_gzip" => {
                let mut packed = vec![0; libdeflate().gzip_compress_bound(len)];
                let n = libdeflate().gzip_compress(&raw, &mut packed).unwrap();
                add("one", &[&header, &packed[..n]]);
                add("two", &[&((2 * len) as u16).to_le_bytes(), &packed[..n], &packed[..n]]);
                add("tail", &[&header, &packed[..n], &[0; 9]]);
            }
            "codec_zlib" => {
                let mut packed = vec![0; libdeflate().zlib_compress_bound(len)];
                let n = libdeflate().zlib_compress(&raw, &mut packed).unwrap();
                add("one", &[&header, &packed[..n]]);
                add("tail", &[&header, &packed[..n], &[0; 9]]);
            }
            "codec_lz4" => {
                let packed = lz4::block::compress(&raw, None, true).unwrap();
                add("one", &[&header, &packed]);
                add("huge", &[&header, &[255, 255, 255, 127], &packed[4..]]);
                add("less", &[&header, &((len - 1) as u32).to_le_bytes(), &packed[4..]]);
            }
            "codec_crc32c" => {
                add("right", &[&header, &raw, &crc32c::crc32c(&raw).to_le_bytes()]);
                add("wrong", &[&header, &raw, &[0; 4]]);
                add("short", &[&header, &[1, 2, 3]]);
            }
            "codec_blosc" => blosc(&raw, &mut add),
            "codec_bytes" => {
                for flags in 0..16u8 {
                    let items = (len / 16).clamp(1, 40);
                    let bytes = sample(items * [1, 1, 2, 4, 8, 16, 8, 12][usize::from(flags & 7)]);
                    add(&format!("type{flags}"), &[&[flags, items as u8 - 1], &bytes]);
                }
            }
            _ => {
                for (k, shape) in [&[3u8][..], &[2, 4], &[5, 1, 2], &[2, 3, 4, 5]].into_iter().enumerate() {
                    let items: usize = shape.iter().map(|n| usize::from(*n) + 1).product();
                    let order = &[len as u8, 1, 7][..k];
                    add(&format!("rank{}", k + 1), &[&[k as u8], shape, order, &sample(2 * items)]);
                }
            }
        }
    }
    out
}

/// Chunks of blosc: compressed, with their bytes as they are, and with headers that lie.
fn blosc(raw: &[u8], add: &mut dyn FnMut(&str, &[&[u8]])) {
    let len = raw.len();
    let header = |flags: u8, typesize: u8, nbytes: usize, block: usize, cbytes: usize| {
        let mut out = vec![2, 1, flags, typesize];
        for n in [nbytes, block, cbytes] {
            out.extend((n as u32).to_le_bytes());
        }
        out
    };
    let size = (len as u16).to_le_bytes();
    for (name, codec) in [("lz4", Codec::BloscLz4), ("zstd", Codec::BloscZstd)] {
        let mut w = Writer::new(&Layout { codec, ..Layout::default() });
        w.array(
            "a",
            &Array::new(DataType::UInt(1), &[len as u64], &[len as u64], Items::Fixed(raw.to_vec())),
        );
        for flag in [0, 1] {
            add(&format!("v{}-packed-{name}", flag + 2), &[&[flag], &size, &w.values()["a/c/0"]]);
        }
    }
    for (v, flag) in [("v2", 0u8), ("v3", 1)] {
        let mut both = |name: &str, head: Vec<u8>| add(&format!("{v}-{name}"), &[&[flag], &size, &head, raw]);
        both("stored", header(0x02, 1, len, len, len + 16));
        both("lz4", header(0x21, 4, len, len, len + 16));
        both("zstd", header(0x91, 4, len, len, len + 16));
        both("huge", header(0x02, 1, u32::MAX as usize, len, len + 16));
        both("no-block", header(0x21, 4, len, 0, len + 16));
        both("cut", header(0x02, 1, len, len, len * 2 + 16));
    }
}

fn vlen_utf8() -> Vec<Seed> {
    let words = ["", "a", "naïve ✓", "細胞", "x"];
    let mut chunk = (words.len() as u32).to_le_bytes().to_vec();
    for word in words {
        chunk.extend((word.len() as u32).to_le_bytes());
        chunk.extend(word.as_bytes());
    }
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(chunk.len()));
    zstd_safe::compress(&mut packed, &chunk, 1).unwrap();
    let mut split = chunk.clone();
    let at = split.windows(2).position(|w| w == "ï".as_bytes()).unwrap();
    split[at + 1] = b'x'; // half a character
    vec![
        named("text", &[&[0, 4, 0xff, 0x0f], &chunk]),
        named("bytes", &[&[1, 4, 0xff, 0x0f], &chunk]),
        named("zstd", &[&[2, 4, 0xff, 0x0f], &packed]),
        named("zstd-too-large", &[&[2, 4, 9, 0], &packed]),
        named("too-large", &[&[0, 4, 9, 0], &chunk]),
        named("other-count", &[&[0, 9, 0xff, 0x0f], &chunk]),
        named("half-a-character", &[&[0, 4, 0xff, 0x0f], &split]),
        named("huge-length", &[&[0, 0, 0xff, 0x0f], &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1]]),
        named("huge-count", &[&[0, 63, 0xff, 0x0f], &[0xff; 8]]),
        named("empty", &[&[0, 0, 0xff, 0x0f]]),
    ]
}

fn csr_assembly() -> Vec<Seed> {
    let mut out = Vec::new();
    let mut rng = Rng::new(7);
    // Right matrices of every type, whole and with a chunk missing; sharded or not; csr and csc.
    for flags in 0..128u8 {
        if flags & 16 == 0 && flags & 0x60 != 0 {
            continue;
        }
        let (rows, columns, nnz) = (7u8, 9u8, 20usize);
        let index_size = [4, 8, 1, 2][usize::from(flags >> 1 & 3)];
        let mut body = Vec::new();
        if flags & 16 == 0 {
            let width = if flags & 1 == 0 { 4 } else { 8 };
            for start in [0u64, 3, 3, 6, 10, 11, 19, 20] {
                body.extend(&start.to_le_bytes()[..width]);
            }
        } else {
            body.extend([3, 0, 4, 2, 1, 9, 1]);
        }
        for _ in 0..nnz {
            body.extend(&rng.below(u64::from(columns)).to_le_bytes()[..index_size]);
        }
        body.extend((0..nnz).flat_map(|i| (i as f32 + 0.5).to_le_bytes()));
        body.extend([4, 6, 0, 0, 3, 5, 8, 1, 1, 0, 2]);
        let more = rng.number() as u8;
        out.push(named(
            &format!("matrix-{flags}"),
            &[&[flags, more, rows, columns, nnz as u8, 5, 3, 7], &body],
        ));
    }
    // Row starts that fall, do not begin at 0, are negative, reach too far.
    for (k, starts) in [[0i32, 5, 2, 6], [1, 2, 3, 6], [0, -1, 3, 6], [0, i32::MAX, 3, 6], [0, 1, 2, 5]]
        .into_iter()
        .enumerate()
    {
        let mut body: Vec<u8> = starts.iter().flat_map(|s| s.to_le_bytes()).collect();
        body.extend((0..6i32).flat_map(i32::to_le_bytes));
        out.push(named(&format!("starts-{k}"), &[&[0, 0, 3, 6, 6, 1, 2, 1], &body]));
    }
    out.push(named("nothing", &[&[]]));
    out.push(named("no-columns", &[&[16, 0, 3, 0, 6, 1, 2, 1]]));
    out
}

fn zip_directory() -> Vec<Seed> {
    let values: Vec<(String, Vec<u8>)> = vec![
        ("zarr.json".into(), br#"{"zarr_format": 3, "node_type": "group", "attributes": {}}"#.to_vec()),
        ("a/zarr.json".into(), b"{}".to_vec()),
        ("a/c/0".into(), sample(300)),
        ("a/c/1".into(), Vec::new()),
    ];
    let of = |folder: &str, deflate: bool| Zip::of(values.iter().map(|(k, v)| (k, v)), folder, deflate);
    let plain = of("", false);
    let with = |change: &dyn Fn(&mut ZipItem)| {
        let mut zip = of("", true);
        change(&mut zip.items[2]);
        zip.bytes()
    };
    vec![
        named("stored", &[&plain.bytes()]),
        named("deflated", &[&of("", true).bytes()]),
        named("folder", &[&of("x.zarr/", true).bytes()]),
        named("zip64", &[&Zip { zip64: true, ..plain.clone() }.bytes()]),
        named("prefix", &[&Zip { prefix: vec![1; 20], comment: b"hello".to_vec(), ..plain.clone() }.bytes()]),
        named("gap", &[&Zip { gap: 9, ..plain.clone() }.bytes()]),
        named("count", &[&Zip { count: Some(9), ..plain.clone() }.bytes()]),
        named("zip64-count", &[&Zip { zip64: true, count: Some(u64::MAX), ..plain }.bytes()]),
        named("size", &[&with(&|item| item.size = Some(1 << 31))]),
        named("small-size", &[&with(&|item| item.size = Some(3))]),
        named("packed", &[&with(&|item| item.packed = Some(1 << 20))]),
        named("crc", &[&with(&|item| item.crc = Some(1))]),
        named("offset", &[&with(&|item| item.offset = Some(5))]),
        named("name", &[&with(&|item| item.name = b"../../etc/passwd".to_vec())]),
        named("same-name", &[&with(&|item| item.name = b"zarr.json".to_vec())]),
        named("local-name", &[&with(&|item| item.local_name = Some(b"b".to_vec()))]),
        named("link", &[&with(&|item| item.mode = 0o120_777)]),
        named("encrypted", &[&with(&|item| item.flags = 1)]),
        named("method", &[&with(&|item| item.method = Some(12))]),
        named("none", &[b"PK\x05\x06", &[0; 18]]),
    ]
}

fn expressions() -> Vec<Seed> {
    let column = |name: Option<&str>| ColumnRef::new(AxisId(7), "obs/x", name);
    let x = || column(Some("x"));
    let literals = [
        Literal::Null,
        Literal::Na,
        Literal::Bool(true),
        Literal::Int(3),
        Literal::Int(i128::from(u64::MAX) + 1),
        Literal::Float(0.5),
        Literal::Float(f64::NAN),
        Literal::Float64(1e300),
        Literal::Str("b c".into()),
    ];
    let mut all: Vec<Expr> = Vec::new();
    for (k, literal) in literals.iter().enumerate() {
        let op = [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Ge][k % 4];
        all.push(Expr::cmp(x(), op, literal.clone()));
    }
    all.push(Expr::IsIn { column: x(), values: literals.to_vec() });
    all.push(Expr::Between {
        column: x(),
        low: Literal::Int(-2),
        high: Literal::Float(7.5),
        inclusive: Inclusive::Left,
    });
    all.push(Expr::StartsWith { column: x(), prefix: vec!["a".into(), String::new()] });
    all.push(Expr::EndsWith { column: column(None), suffix: vec!["c".into()] });
    for (pattern, regex, case) in
        [("b c", false, false), ("^[a-z]+ .$", true, true), ("(a|É){2,5}", true, false), ("(", true, true)]
    {
        all.push(Expr::Contains { column: x(), pattern: pattern.into(), regex, case });
    }
    let y = Expr::IsNa(column(Some("y")));
    all.push(Expr::cmp(x(), CmpOp::Gt, Literal::Int(0)).and(y.clone()).or(Expr::Column(x()).not()));
    all.push(Expr::NotNa(x()).xor(y));
    let mut deep = Expr::NotNa(x());
    (0..40).for_each(|_| deep = deep.clone().not());
    all.push(deep);
    let rows: Vec<u8> = (0..72).map(|i| (i * 37 % 251) as u8).collect();
    let mut out = Vec::new();
    for (k, expr) in all.iter().enumerate() {
        let json = expr.to_json().unwrap();
        for choice in [k as u8 % 15, 14, 3] {
            out.push(named(&format!("expr-{k}-{choice}"), &[&[choice], json.as_bytes(), &[0], &rows]));
        }
    }
    let queries = [
        "x > 0 and not y.isna()",
        "`b c` in ['a', 'É', \"zz\"] or index != 'c'",
        "-2 < x <= 7.5e0 & ~(z == True | x not in [3, 1e300])",
        "x.str.startswith('a') and x.str.contains('^[a-z]+ .$')",
        "x.between(1, 3) | (y.isin([None, 2]))",
        "((((x == 1",
        "x == 'a\\'b' and",
    ];
    for (k, text) in queries.into_iter().enumerate() {
        out.push(named(&format!("query-{k}"), &[&[0x80 | k as u8], text.as_bytes(), &[0], &rows]));
    }
    for (k, text) in ["[]", "[\"and\"]", "{}", "[{\"not\": 1}]", "[[[["].into_iter().enumerate() {
        out.push(named(&format!("crafted-{k}"), &[&[0], text.as_bytes()]));
    }
    out
}
