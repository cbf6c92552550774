//! The idx format of MNIST and its relatives: a magic number, lengths of the axes, elements, all big-endian.

use std::io::Read;

use super::array::{Array, Elements, count, elements};

/// Reads an array from an idx file, to its end.
pub(super) fn read(mut file: impl Read) -> Result<Array, String> {
    let header = up_to(&mut file, 4)?;
    let &[0, 0, kind, axes] = &header[..] else {
        return Err(format!(
            "the first bytes are {header:02x?}, expected those of an idx file: two zeros, type, number of axes"
        ));
    };
    let axes = usize::from(axes);
    let lengths = up_to(&mut file, 4 * axes)?;
    if lengths.len() < 4 * axes {
        let bytes = header.len() + lengths.len();
        return Err(format!("the file ends after {bytes} bytes, within its header"));
    }
    let shape: Vec<usize> =
        lengths.as_chunks().0.iter().map(|&length| u32::from_be_bytes(length) as usize).collect();
    let count = count(&shape)?;
    let elements = match kind {
        0x08 => Elements::Bytes(elements(file, count, u8::from_be_bytes)?),
        0x09 => Elements::Whole(elements(file, count, |[byte]| i64::from(byte as i8))?),
        0x0b => Elements::Whole(elements(file, count, |bytes| i16::from_be_bytes(bytes).into())?),
        0x0c => Elements::Whole(elements(file, count, |bytes| i32::from_be_bytes(bytes).into())?),
        0x0d => Elements::Single(elements(file, count, f32::from_be_bytes)?),
        0x0e => Elements::Double(elements(file, count, f64::from_be_bytes)?),
        _ => return Err(format!("found elements of type 0x{kind:02x}, which idx does not have")),
    };
    Ok(Array { shape, elements, fortran: false })
}

/// The next `count` bytes, or as many as there are.
fn up_to(file: &mut impl Read, count: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = file.take(count as u64).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
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
        let cases: [(&[u8], &str); 7] = [
            (b"\x89PNG", "expected those of an idx file"),
            (&[], "the first bytes are []"),
            (&[0, 0, 0x0a, 1, 0, 0, 0, 0], "type 0x0a"),
            (&good[..9], "ends after 9 bytes, within its header"),
            (&good[..15], "ends after 3 of 4 elements"),
            (&[0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], "counted"),
            (&[&good[..], &[5]].concat(), "goes on behind the last element"),
        ];
        for (bytes, expected) in cases {
            let message = read(bytes).expect_err("damaged");
            assert!(message.contains(expected), "{message}");
        }
    }
}
