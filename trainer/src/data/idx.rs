//! The idx format of MNIST and its relatives: a magic number, lengths of the axes, elements, all big-endian.

use std::io::{self, Read};

use super::array::{Array, CHUNK, Elements};
use crate::store::{Store, Writer};

/// Reads an array from an idx file, to its end.
pub(super) fn read(mut file: impl Read) -> Result<Array, String> {
    let header = up_to(&mut file, 4)?;
    let &[0, 0, kind, axes] = &header[..] else {
        return Err(format!(
            "the first bytes are {header:02x?}, expected those of an idx file: two zeros, type, number of axes"
        ));
    };
    let size = match kind {
        0x08 | 0x09 => 1,
        0x0b => 2,
        0x0c | 0x0d => 4,
        0x0e => 8,
        _ => return Err(format!("found elements of type 0x{kind:02x}, which idx does not have")),
    };
    let axes = usize::from(axes);
    let lengths = up_to(&mut file, 4 * axes)?;
    if lengths.len() < 4 * axes {
        let bytes = header.len() + lengths.len();
        return Err(format!("the file ends after {bytes} bytes, within its header"));
    }
    let shape: Vec<usize> =
        lengths.as_chunks().0.iter().map(|&length| u32::from_be_bytes(length) as usize).collect();
    let expected =
        shape.iter().try_fold(size, |product: usize, &length| product.checked_mul(length));
    let mut data = Data { file, expected: expected.unwrap_or(usize::MAX), found: 0 };
    let elements = match kind {
        0x08 => data.elements(u8::from_be_bytes).map(Elements::Bytes),
        0x09 => data.elements(|[byte]| i64::from(byte as i8)).map(Elements::Whole),
        0x0b => data.elements(|bytes| i16::from_be_bytes(bytes).into()).map(Elements::Whole),
        0x0c => data.elements(|bytes| i32::from_be_bytes(bytes).into()).map(Elements::Whole),
        0x0d => data.elements(f32::from_be_bytes).map(Elements::Single),
        _ => data.elements(f64::from_be_bytes).map(Elements::Double),
    };
    let elements = elements.map_err(|error| error.to_string())?;
    if expected != Some(data.found) {
        return Err(format!(
            "found {} bytes of elements, expected {} for {shape:?} of {size} bytes each",
            data.found,
            expected.map_or("more than fit".to_owned(), |expected| expected.to_string())
        ));
    }
    Ok(Array { shape, elements, fortran: false })
}

/// The next `count` bytes, or as many as there are.
fn up_to(file: &mut impl Read, count: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = file.take(count as u64).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// What follows the header.
struct Data<R> {
    file: R,
    /// Bytes there should be.
    expected: usize,
    /// Bytes there are.
    found: usize,
}

impl<R: Read> Data<R> {
    /// Elements of N bytes, as many as there should be; counts the bytes up to the end of the file.
    fn elements<const N: usize, T: bytemuck::Pod>(
        &mut self,
        element: impl Fn([u8; N]) -> T,
    ) -> io::Result<Store<T>> {
        let mut elements = Writer::default();
        let mut bytes = Vec::new();
        while self.found < self.expected {
            bytes.clear();
            let most = (CHUNK * N).min(self.expected - self.found);
            (&mut self.file).take(most as u64).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                break;
            }
            self.found += bytes.len();
            let values: Vec<T> = bytes.as_chunks().0.iter().map(|&bytes| element(bytes)).collect();
            elements.extend(&values)?;
        }
        self.found += io::copy(&mut self.file, &mut io::sink())? as usize;
        elements.finish()
    }
}

/// The bytes of an idx file.
#[cfg(test)]
pub(super) fn bytes(shape: &[u32], elements: &[u8]) -> Vec<u8> {
    let lengths = shape.iter().flat_map(|length| length.to_be_bytes());
    [0, 0, 8, shape.len() as u8]
        .into_iter()
        .chain(lengths)
        .chain(elements.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read() {
        let array = read(&bytes(&[2, 1, 2], &[1, 2, 3, 4])[..]).expect("idx");
        assert_eq!(array.shape, [2, 1, 2]);
        assert_eq!(array.elements, Elements::Bytes(vec![1, 2, 3, 4].into()));
        let shorts = read(&[0, 0, 0x0b, 1, 0, 0, 0, 2, 0xff, 0xfe, 1, 0][..]).expect("idx");
        assert_eq!(shorts.elements, Elements::Whole(vec![-2, 256].into()));
        let floats = read(&[0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0x80, 0, 0][..]).expect("idx");
        assert_eq!(floats.elements, Elements::Single(vec![1.0].into()));
    }

    #[test]
    fn damage_is_named() {
        let good = bytes(&[2, 2], &[1, 2, 3, 4]);
        let cases: [(&[u8], &str); 6] = [
            (b"\x89PNG", "expected those of an idx file"),
            (&[], "the first bytes are []"),
            (&[0, 0, 0x0a, 1, 0, 0, 0, 0], "type 0x0a"),
            (&good[..9], "ends after 9 bytes, within its header"),
            (&good[..15], "found 3 bytes of elements, expected 4 for [2, 2]"),
            (&[0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], "expected"),
        ];
        for (bytes, expected) in cases {
            let message = read(bytes).expect_err("damaged");
            assert!(message.contains(expected), "{message}");
        }
    }
}
