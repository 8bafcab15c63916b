//! Pixels as a PNG (W3C Portable Network Graphics, third edition): 8 bits per channel, RGB, no interlacing, no filters.

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Bits per channel, colour type RGB, and the only methods of compression, filtering and no interlacing.
const FORM: [u8; 5] = [8, 2, 0, 0, 0];

/// `rgb` has three bytes per pixel, row by row.
pub(super) fn encode(rgb: &[u8], (width, height): (u32, u32)) -> std::io::Result<Vec<u8>> {
    let mut png = SIGNATURE.to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &FORM].concat();
    chunk(&mut png, *b"IHDR", &header);
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::best());
    for row in rgb.chunks_exact(3 * width as usize) {
        // Each row begins with its filter: none.
        rows.write_all(&[0])?;
        rows.write_all(row)?;
    }
    chunk(&mut png, *b"IDAT", &rows.finish()?);
    chunk(&mut png, *b"IEND", &[]);
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let mut crc = Crc::new();
    for part in [&kind[..], data] {
        crc.update(part);
        png.extend(part);
    }
    png.extend(crc.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python makes of the same pixel:
    /// ```python
    /// import zlib, struct
    /// kind, data = b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)
    /// print(hex(zlib.crc32(kind + data)))
    /// ```
    #[test]
    fn chunks_have_length_kind_data_and_sum() {
        let png = encode(&[255, 0, 0, 0, 0, 255], (2, 1)).unwrap();
        assert_eq!(png[8..16], *b"\0\0\0\x0dIHDR");
        assert_eq!(png[29..33], 0x7b40_e8dd_u32.to_be_bytes());
        assert_eq!(png[png.len() - 12..], *b"\0\0\0\0IEND\xae\x42\x60\x82");
    }
}
