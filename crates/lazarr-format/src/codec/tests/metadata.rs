//! From metadata to a chain: names, refusals, answers about itself.

use super::*;

#[test]
fn names_and_properties() {
    let cases = [
        (json!([little()]), "none", true, false),
        (json!(["bytes"]), "none", true, false),
        (json!([little(), "zstd"]), "zstd", false, false),
        (
            json!([little(), {"name": "zstd", "configuration": {"level": 3, "checksum": true}}]),
            "zstd",
            false,
            true,
        ),
        (json!([little(), {"name": "blosc", "configuration": {"cname": "lz4"}}]), "blosc(lz4)", false, false),
        (json!([little(), "gzip", "crc32c"]), "gzip+crc32c", false, true),
        (json!([{"name": "bitround", "configuration": {"keepbits": 3}}, little()]), "none", true, false),
        (
            json!([{"name": "transpose", "configuration": {"order": [1, 0]}}, little()]),
            "transpose",
            false,
            false,
        ),
        (json!([{"name": "transpose", "configuration": {"order": [0, 1]}}, little()]), "none", true, false),
    ];
    for (codecs, name, plain, validates) in cases {
        let dtype = if codecs[0] == "bytes" { DataType::UInt(1) } else { DataType::Float(4) };
        let chain = v3(&codecs, &[3, 4], &dtype).unwrap();
        assert_eq!(
            (chain.name().as_str(), chain.is_plain_copy(), chain.validates()),
            (name, plain, validates)
        );
    }
    let zarray = json!({"filters": null, "compressor": {"id": "blosc", "cname": "zstd"}, "order": "F"});
    assert_eq!(v2(&zarray, false, &[3, 4], &DataType::Int(4)).unwrap().name(), "order F+blosc(zstd)");
    assert_eq!(v2(&zarray, false, &[4], &DataType::Int(4)).unwrap().name(), "blosc(zstd)");
    let plain = json!({"filters": [], "compressor": null});
    assert!(v2(&plain, false, &[4], &DataType::Int(4)).unwrap().is_plain_copy());
    assert!(!v2(&plain, true, &[4], &DataType::Int(4)).unwrap().is_plain_copy());
    assert!(v2(&plain, true, &[4], &DataType::Int(1)).unwrap().is_plain_copy());
}

#[test]
fn refusals() {
    let transpose =
        |order: Value| json!([{"name": "transpose", "configuration": {"order": order}}, little()]);
    let cases = [
        (json!([]), Code::MetadataField),
        (json!(["zstd", little()]), Code::MetadataField),
        (json!(["crc32c", "gzip", little(), "crc32c"]), Code::MetadataField),
        (json!(["zstd"]), Code::MetadataField),
        (json!([7]), Code::MetadataField),
        (json!([{"configuration": {}}]), Code::MetadataField),
        (json!([{"name": "bytes", "configuration": 3}]), Code::MetadataField),
        (json!(["bytes"]), Code::MetadataField),
        (json!([{"name": "bytes", "configuration": {"endian": "middle"}}]), Code::MetadataField),
        (json!(["vlen-utf8"]), Code::MetadataField),
        (json!([little(), little()]), Code::MetadataField),
        (
            json!([little(), {"name": "numcodecs.shuffle", "configuration": {"elementsize": 0}}]),
            Code::MetadataField,
        ),
        (json!([little(), {"name": "crc32c", "configuration": {"location": "middle"}}]), Code::MetadataField),
        (transpose(json!([0, 0])), Code::MetadataField),
        (transpose(json!([0])), Code::MetadataField),
        (transpose(json!([0, 1, 2])), Code::MetadataField),
        (transpose(json!([0, -1])), Code::MetadataField),
        (transpose(json!("F")), Code::MetadataField),
        (json!([little(), "made-up"]), Code::CodecUnknown),
        (json!([little(), "made-up", "zstd"]), Code::CodecUnknown),
        (json!(["made-up", little()]), Code::CodecUnknown),
        (json!([little(), {"name": "numcodecs.lzma", "configuration": {}}]), Code::CodecUnknown),
    ];
    for (codecs, code) in cases {
        let e = v3(&codecs, &[3, 4], &DataType::Float(4)).unwrap_err();
        assert_eq!(e.code(), code, "{codecs}: {e}");
    }
    let e = v3(&json!([little(), "made-up"]), &[3], &DataType::Float(4)).unwrap_err();
    assert!(e.message().contains("`made-up`"), "{e}");
    let cases = [
        (json!({"filters": [{"id": "made-up"}]}), Code::CodecUnknown),
        (json!({"compressor": {"id": "lzma"}}), Code::CodecUnknown),
        (json!({"compressor": {}}), Code::MetadataField),
        (json!({"filters": 3}), Code::MetadataField),
        (json!({"order": "G"}), Code::MetadataField),
        (json!({"filters": [{"id": "vlen-utf8"}]}), Code::MetadataField),
    ];
    for (zarray, code) in cases {
        let e = v2(&zarray, false, &[3, 4], &DataType::Float(4)).unwrap_err();
        assert_eq!(e.code(), code, "{zarray}: {e}");
    }
    assert_eq!(
        v2(&json!({"filters": []}), false, &[3], &DataType::String).unwrap_err().code(),
        Code::MetadataField
    );
}

#[test]
#[cfg(not(any(feature = "zfp", feature = "gdeflate")))]
fn left_out_codecs_name_their_feature() {
    for (codec, feature) in [("zfp", "`zfp`"), ("numcodecs.zfpy", "`zfp`"), ("zarrs.gdeflate", "`gdeflate`")]
    {
        let e = v3(&json!([codec]), &[3], &DataType::Float(4)).unwrap_err();
        assert_eq!(e.code(), Code::CodecUnknown);
        assert!(e.help_text().unwrap().contains(feature), "{e}");
    }
    let e =
        v2(&json!({"compressor": {"id": "zfpy", "mode": 4}}), false, &[3], &DataType::Float(4)).unwrap_err();
    assert!(e.help_text().unwrap().contains("`zfp`"), "{e}");
}

#[test]
fn chains_are_shared_and_scratch_moves_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    fn moved<T: Send>() {}
    shared::<Chain>();
    moved::<Scratch>();
}
