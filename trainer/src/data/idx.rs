//! The idx format of MNIST and its relatives: a magic number, lengths of the axes, elements, all big-endian.

use super::array::{Array, Elements};

/// Reads an array from the bytes of an idx file.
pub(super) fn read(bytes: &[u8]) -> Result<Array, String> {
    let Some((&[0, 0, kind, axes], rest)) = bytes.split_first_chunk() else {
        return Err(format!(
            "the first bytes are {:02x?}, expected those of an idx file: two zeros, type, number of axes",
            &bytes[..bytes.len().min(4)]
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
    let ends = || format!("the file ends after {} bytes, within its header", bytes.len());
    let (lengths, data) = rest.split_at_checked(4 * axes).ok_or_else(ends)?;
    let shape: Vec<usize> =
        lengths.as_chunks().0.iter().map(|&length| u32::from_be_bytes(length) as usize).collect();
    let expected =
        shape.iter().try_fold(size, |product: usize, &length| product.checked_mul(length));
    if expected != Some(data.len()) {
        return Err(format!(
            "found {} bytes of elements, expected {} for {shape:?} of {size} bytes each",
            data.len(),
            expected.map_or("more than fit".to_owned(), |expected| expected.to_string())
        ));
    }
    let elements = match kind {
        0x08 => Elements::Bytes(data.to_vec()),
        0x09 => Elements::Whole(data.iter().map(|&byte| i64::from(byte as i8)).collect()),
        0x0b => Elements::Whole(each(data, |bytes| i16::from_be_bytes(bytes).into())),
        0x0c => Elements::Whole(each(data, |bytes| i32::from_be_bytes(bytes).into())),
        0x0d => Elements::Single(each(data, f32::from_be_bytes)),
        _ => Elements::Double(each(data, f64::from_be_bytes)),
    };
    Ok(Array { shape, elements, fortran: false })
}

fn each<const N: usize, T>(data: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks().0.iter().map(|&bytes| element(bytes)).collect()
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
        let array = read(&bytes(&[2, 1, 2], &[1, 2, 3, 4])).expect("idx");
        assert_eq!(array.shape, [2, 1, 2]);
        assert_eq!(array.elements, Elements::Bytes(vec![1, 2, 3, 4]));
        let shorts = read(&[0, 0, 0x0b, 1, 0, 0, 0, 2, 0xff, 0xfe, 1, 0]).expect("idx");
        assert_eq!(shorts.elements, Elements::Whole(vec![-2, 256]));
        let floats = read(&[0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0x80, 0, 0]).expect("idx");
        assert_eq!(floats.elements, Elements::Single(vec![1.0]));
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
