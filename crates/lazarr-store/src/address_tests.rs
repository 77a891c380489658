use super::*;

#[test]
fn names_are_shown_without_secrets() {
    for (url, shown) in [
        ("https://user:pa@ss@host:8080/a/b.zarr?sig=abc#x", "https://host:8080/a/b.zarr"),
        ("http://host", "http://host"),
        ("http://host?token=1", "http://host"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("az://container@account.blob.core.windows.net/a", "az://container@account.blob.core.windows.net/a"),
        ("/local/a@b?c", "/local/a@b?c"),
    ] {
        assert_eq!(redacted(url), shown);
    }
    let options = StoreOptions::new([("AWS-Secret-Access-Key", "hush"), ("timeout", "5s")]);
    assert_eq!(format!("{options:?}"), r#"{"aws_secret_access_key", "timeout"}"#);
    assert_eq!(options.get("aws_secret_access_key"), Some("hush"));
}

#[test]
fn archives_are_found_on_the_way() {
    let cut = |url: &str| archive(url).map(|(a, b, c)| [a, b, c]);
    let is = |a: &str, b: &str, c: &str| Some([a.to_owned(), b.to_owned(), c.to_owned()]);
    assert_eq!(cut("https://host/a/b.zip"), is("https://host/a", "b.zip", ""));
    assert_eq!(cut("https://host/b.ZIP/obsm/X_pca?sig=1"), is("https://host?sig=1", "b.ZIP", "obsm/X_pca"));
    assert_eq!(cut("s3://bucket/a/b.zarr"), None);
    assert_eq!(cut("https://x.zip/a"), None);
    assert_eq!(cut("https://x.zip"), None);
}

#[test]
fn numbers_have_units() {
    let options =
        StoreOptions::new([("a", "50ms"), ("b", "1.5 MB"), ("c", "2"), ("d", "soon"), ("e", "TRUE")]);
    let near = |name, x: f64| (options.number(name).unwrap().unwrap() - x).abs() < 1e-9 * x;
    assert!(near("a", 0.05) && near("c", 2.0));
    assert_eq!(options.bytes("b").unwrap(), Some(1.5e6));
    let bytes = |text: &str| StoreOptions::new([("x", text)]).bytes("x");
    assert_eq!(bytes("2 GiB").unwrap(), Some(2.0 * 1024.0 * 1024.0 * 1024.0));
    assert_eq!(bytes("1TB").unwrap(), Some(1e12));
    assert!(bytes("10m").is_err() && options.number("b").is_err());
    assert_eq!(options.number("d").unwrap_err().code(), Code::StoreUrl);
    assert!(options.flag("e").unwrap() && !options.flag("f").unwrap() && options.flag("d").is_err());
}

#[test]
fn schemes() {
    assert_eq!(scheme("S3://a"), Some("s3".into()));
    assert_eq!(scheme("c://a"), None);
    assert_eq!(scheme("/a/b"), None);
    assert_eq!(scheme("a b://c"), None);
}
