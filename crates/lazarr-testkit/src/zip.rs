//! Zip archives, well made or lying.

/// One entry. What is `None` is the truth.
#[derive(Debug, Clone, Default)]
pub struct ZipItem {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub data: Vec<u8>,
    /// Whether it is deflated.
    pub deflate: bool,
    /// Another method than it has.
    pub method: Option<u16>,
    /// Its flags.
    pub flags: u16,
    /// Another CRC-32.
    pub crc: Option<u32>,
    /// Another size, in the directory and the header.
    pub size: Option<u64>,
    /// Another number of bytes in the archive.
    pub packed: Option<u64>,
    /// Another name in the header.
    pub local_name: Option<Vec<u8>>,
    /// Another offset of the header.
    pub offset: Option<u64>,
    /// Its mode on Unix.
    pub mode: u16,
}

impl ZipItem {
    /// An entry that is what it says.
    pub fn new(name: &str, data: &[u8], deflate: bool) -> Self {
        Self { name: name.into(), data: data.to_vec(), deflate, ..Self::default() }
    }
}

/// An archive.
#[derive(Debug, Clone, Default)]
pub struct Zip {
    /// Its entries.
    pub items: Vec<ZipItem>,
    /// Bytes before it.
    pub prefix: Vec<u8>,
    /// Its comment.
    pub comment: Vec<u8>,
    /// Whether its sizes and offsets are in zip64's fields.
    pub zip64: bool,
    /// Another number of entries.
    pub count: Option<u64>,
    /// Bytes before each header that belong to nothing.
    pub gap: usize,
}

impl Zip {
    /// An archive of these keys and values, below a folder (empty, or with its slash).
    pub fn of<'a>(
        values: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>,
        folder: &str,
        deflate: bool,
    ) -> Self {
        let items = values.into_iter().map(|(k, v)| ZipItem::new(&format!("{folder}{k}"), v, deflate));
        Self { items: items.collect(), ..Self::default() }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut directory = Vec::new();
        for item in &self.items {
            body.resize(body.len() + self.gap, 0x55);
            let packed = if item.deflate { deflate(&item.data) } else { item.data.clone() };
            let mut crc = libdeflater::Crc::new();
            crc.update(&item.data);
            let crc = item.crc.unwrap_or_else(|| crc.sum());
            let method = item.method.unwrap_or(if item.deflate { 8 } else { 0 });
            let size = item.size.unwrap_or(item.data.len() as u64);
            let packed_len = item.packed.unwrap_or(packed.len() as u64);
            let offset = item.offset.unwrap_or(body.len() as u64);
            let (small_size, small_packed) =
                if self.zip64 { (u32::MAX, u32::MAX) } else { (size as u32, packed_len as u32) };
            let mut extra = Vec::new();
            if self.zip64 {
                extra.extend(1u16.to_le_bytes());
                extra.extend(16u16.to_le_bytes());
                extra.extend(size.to_le_bytes());
                extra.extend(packed_len.to_le_bytes());
            }
            let local_name = item.local_name.as_ref().unwrap_or(&item.name);
            body.extend(b"PK\x03\x04\x14\x00");
            let common = |out: &mut Vec<u8>| {
                out.extend(item.flags.to_le_bytes());
                out.extend(method.to_le_bytes());
                out.extend([0; 4]);
                out.extend(crc.to_le_bytes());
                out.extend(small_packed.to_le_bytes());
                out.extend(small_size.to_le_bytes());
            };
            common(&mut body);
            body.extend((local_name.len() as u16).to_le_bytes());
            body.extend((extra.len() as u16).to_le_bytes());
            body.extend(local_name);
            body.extend(&extra);
            body.extend(&packed);
            directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
            common(&mut directory);
            directory.extend((item.name.len() as u16).to_le_bytes());
            directory.extend((extra.len() as u16).to_le_bytes());
            directory.extend([0; 6]);
            directory.extend((u32::from(item.mode) << 16).to_le_bytes());
            directory.extend((offset as u32).to_le_bytes());
            directory.extend(&item.name);
            directory.extend(&extra);
        }
        let (start, len) = (body.len() as u64, directory.len() as u64);
        let count = self.count.unwrap_or(self.items.len() as u64);
        let mut out = [self.prefix.clone(), body, directory].concat();
        if self.zip64 {
            let at = out.len() as u64;
            out.extend(b"PK\x06\x06");
            out.extend(44u64.to_le_bytes());
            out.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for n in [count, count, len, start] {
                out.extend(n.to_le_bytes());
            }
            out.extend(b"PK\x06\x07\0\0\0\0");
            out.extend(at.to_le_bytes());
            out.extend(1u32.to_le_bytes());
        }
        let (count, len, start) = if self.zip64 {
            (u16::MAX, u32::MAX, u32::MAX)
        } else {
            (count as u16, len as u32, start as u32)
        };
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(len.to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend((self.comment.len() as u16).to_le_bytes());
        out.extend(&self.comment);
        out
    }
}

fn deflate(raw: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut out = vec![0; compressor.deflate_compress_bound(raw.len())];
    let n = compressor.deflate_compress(raw, &mut out).unwrap();
    out.truncate(n);
    out
}
