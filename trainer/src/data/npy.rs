//! Arrays of NumPy, `.npy`: a header in Python's syntax, then elements.

use std::io::Read;

use super::array::{Array, Elements, count, elements, end};
use crate::excerpt::excerpt;

/// First bytes of a file; the format's version follows.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Most bytes of a header. NumPy itself reads at most 10,000.
const LONGEST_HEADER: usize = 1 << 16;
/// Most characters of a text.
const LONGEST_TEXT: usize = 1 << 12;
/// Bytes of a character.
const CHARACTER: usize = 4;

/// Contents of a header.
#[derive(Debug, PartialEq)]
struct Header {
    /// Letter of the type and bytes of an element; characters of a text.
    kind: (char, usize),
    /// Whether the first byte of an element is the most significant one.
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
}

/// Reads an array from a file, to its end.
///
/// # Errors
/// The file is no `.npy` file, is longer or shorter than it says, or has elements of another type than
/// whole numbers, `float32`, `float64` and text.
pub(super) fn read(mut file: impl Read) -> Result<Array, String> {
    let header = header(&mut file)?;
    let count = count(&header.shape)?;
    let elements = match header.kind {
        ('u', 1) => Elements::Bytes(elements(file, count, |[byte]| byte)?),
        ('b', 1) => whole(file, count, &header, |[byte]: [u8; 1]| i64::from(byte != 0))?,
        ('i', 1) => whole(file, count, &header, |bytes| i8::from_le_bytes(bytes).into())?,
        ('i', 2) => whole(file, count, &header, |bytes| i16::from_le_bytes(bytes).into())?,
        ('u', 2) => whole(file, count, &header, |bytes| u16::from_le_bytes(bytes).into())?,
        ('i', 4) => whole(file, count, &header, |bytes| i32::from_le_bytes(bytes).into())?,
        ('u', 4) => whole(file, count, &header, |bytes| u32::from_le_bytes(bytes).into())?,
        ('i', 8) => whole(file, count, &header, i64::from_le_bytes)?,
        ('f', 4) => {
            let element = |bytes| f32::from_le_bytes(header.ordered(bytes));
            Elements::Single(elements(file, count, element)?)
        }
        ('f', 8) => {
            let element = |bytes| f64::from_le_bytes(header.ordered(bytes));
            Elements::Double(elements(file, count, element)?)
        }
        ('U', 1..=LONGEST_TEXT) => Elements::Text(texts(file, count, &header)?),
        (kind, size) => {
            return Err(format!(
                "found elements of type {kind}{size}, expected whole numbers, float32, float64 or text of at \
                 most {LONGEST_TEXT} characters; convert them with astype"
            ));
        }
    };
    Ok(Array { shape: header.shape, elements, fortran: header.fortran })
}

fn whole<const N: usize>(
    file: impl Read,
    count: usize,
    header: &Header,
    element: impl Fn([u8; N]) -> i64,
) -> Result<Elements, String> {
    elements(file, count, |bytes| element(header.ordered(bytes))).map(Elements::Whole)
}

/// Texts of as many characters as the header says, the last of which may be nothing.
fn texts(mut file: impl Read, count: usize, header: &Header) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    let mut bytes = vec![0; CHARACTER * header.kind.1];
    while texts.len() < count {
        let found = texts.len();
        file.read_exact(&mut bytes).map_err(|error| format!("text {found} of {count}: {error}"))?;
        let codes =
            bytes.as_chunks().0.iter().map(|&code| u32::from_le_bytes(header.ordered(code)));
        let text: Option<String> = codes.map(char::from_u32).collect();
        let text = text.ok_or_else(|| format!("text {found} of {count} has no characters"))?;
        texts.push(text.trim_end_matches('\0').to_owned());
    }
    end(&mut file)?;
    Ok(texts)
}

/// Reads up to the first element.
fn header(file: &mut impl Read) -> Result<Header, String> {
    let no_array = |what: &str| format!("no array of NumPy: {what}");
    let mut start = [0; MAGIC.len() + 2];
    let cut = |_| no_array("the file ends within its header");
    file.read_exact(&mut start).map_err(cut)?;
    let Some(&[version, _]) = start.strip_prefix(MAGIC) else {
        return Err(no_array("it does not begin like one"));
    };
    let length = match version {
        1 => {
            let mut length = [0; 2];
            file.read_exact(&mut length).map_err(cut)?;
            u16::from_le_bytes(length).into()
        }
        2 | 3 => {
            let mut length = [0; 4];
            file.read_exact(&mut length).map_err(cut)?;
            u32::from_le_bytes(length) as usize
        }
        other => return Err(no_array(&format!("found version {other}, expected 1 to 3"))),
    };
    if length > LONGEST_HEADER {
        let found = format!("its header has {length} bytes, expected at most {LONGEST_HEADER}");
        return Err(no_array(&found));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text).map_err(cut)?;
    let text = String::from_utf8_lossy(&text);
    Header::parse(text.trim()).ok_or_else(|| {
        no_array(&format!(
            "found the header `{}`, expected the type of plain elements, their order and their shape",
            excerpt(text.trim())
        ))
    })
}

impl Header {
    /// Reads a dictionary such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(text: &str) -> Option<Self> {
        let (mut kind, mut fortran, mut shape) = (None, None, None);
        let mut rest = text.strip_prefix('{')?.strip_suffix('}')?.trim();
        while !rest.is_empty() {
            let (key, value) = quoted(rest)?;
            let value = value.trim_start().strip_prefix(':')?.trim_start();
            rest = match key {
                "descr" => {
                    let (described, rest) = quoted(value)?;
                    kind = Some(described);
                    rest
                }
                "fortran_order" => {
                    fortran = Some(value.starts_with("True"));
                    value.strip_prefix("True").or_else(|| value.strip_prefix("False"))?
                }
                "shape" => {
                    let (lengths, rest) = value.strip_prefix('(')?.split_once(')')?;
                    let lengths = lengths.split(',').map(str::trim);
                    let lengths = lengths.filter(|length| !length.is_empty());
                    shape =
                        lengths.map(|length| length.parse().ok()).collect::<Option<Vec<usize>>>();
                    rest
                }
                _ => return None,
            };
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        let kind = kind?;
        let big_endian = kind.starts_with('>');
        let mut letters = kind.trim_start_matches(['<', '>', '|', '=']).chars();
        let letter = letters.next().filter(char::is_ascii_alphabetic)?;
        let kind = (letter, letters.as_str().parse().ok()?);
        Some(Self { kind, big_endian, fortran: fortran?, shape: shape? })
    }

    /// The bytes of an element, the least significant one first.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }
}

/// Text between the first quotes, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// Types that the tests write.
#[cfg(test)]
pub(super) trait Element: bytemuck::Pod {
    /// Their name in a header, on a machine whose first byte is the least significant one.
    const KIND: &'static str;
}

#[cfg(test)]
macro_rules! elements {
    ($($kind:ty: $name:literal),*) => { $(impl Element for $kind { const KIND: &'static str = $name; })* };
}
#[cfg(test)]
elements!(u8: "|u1", i8: "|i1", i16: "<i2", u16: "<u2", i32: "<i4", u32: "<u4", i64: "<i8", f32: "<f4", f64: "<f8");

/// The bytes of a file.
#[cfg(test)]
pub(super) fn npy<T: Element>(shape: &[u64], elements: &[T]) -> Vec<u8> {
    let shape: String = shape.iter().map(|length| format!("{length},")).collect();
    described(T::KIND, &shape, bytemuck::cast_slice(elements))
}

#[cfg(test)]
fn described(kind: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let length = u16::try_from(text.len()).expect("short").to_le_bytes();
    [MAGIC, &[1, 0], &length, text.as_bytes(), elements].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_values() {
        let read = |bytes: Vec<u8>| read(&bytes[..]).expect("an array").elements;
        assert_eq!(read(npy(&[2], &[1u8, 255])), Elements::Bytes(vec![1, 255].into()));
        assert_eq!(read(npy(&[2], &[-1i8, 1])), Elements::Whole(vec![-1, 1].into()));
        assert_eq!(read(npy(&[1], &[-300i16])), Elements::Whole(vec![-300].into()));
        assert_eq!(read(npy(&[1], &[65_535u16])), Elements::Whole(vec![65_535].into()));
        assert_eq!(read(npy(&[1], &[-70_000i32])), Elements::Whole(vec![-70_000].into()));
        assert_eq!(read(npy(&[1], &[u32::MAX])), Elements::Whole(vec![u32::MAX.into()].into()));
        assert_eq!(read(npy(&[1], &[1i64 << 40])), Elements::Whole(vec![1 << 40].into()));
        assert_eq!(read(npy(&[1], &[0.1f32])), Elements::Single(vec![0.1].into()));
        assert_eq!(read(npy(&[1], &[0.1f64])), Elements::Double(vec![0.1].into()));
        assert_eq!(read(described("|b1", "2,", &[1, 0])), Elements::Whole(vec![1, 0].into()));
        assert_eq!(read(described(">i2", "1", &[1, 0])), Elements::Whole(vec![256].into()));
        assert_eq!(
            read(described(">f4", "", &1.5f32.to_be_bytes())),
            Elements::Single(vec![1.5].into())
        );
        let text = ['n', 'o', '\0', 'y', 'e', 's'].map(|letter| u32::from(letter).to_le_bytes());
        let text = read(described("<U3", "2,", text.as_flattened()));
        assert_eq!(text, Elements::Text(vec!["no".into(), "yes".into()]));
    }

    #[test]
    fn headers_are_read_as_numpy_writes_them() {
        let header = Header::parse("{'descr': '>U12', \"fortran_order\": True, 'shape': (), }");
        let expected =
            Header { kind: ('U', 12), big_endian: true, fortran: true, shape: Vec::new() };
        assert_eq!(header, Some(expected));
        let one = Header::parse("{'shape': (3, 4),'fortran_order':False,'descr':'|u1'}");
        assert_eq!(one.expect("in another order").shape, [3, 4]);
    }

    /// What a file claims costs neither memory nor time.
    #[test]
    fn a_damaged_or_hostile_file_is_refused() {
        let good = npy(&[4], &[1.0f32; 4]);
        let nested = format!("{{'descr': {}'<f4'{}", "[('a', ".repeat(5000), ")]".repeat(5000));
        let nested =
            [MAGIC, &[2, 0], &(nested.len() as u32).to_le_bytes(), nested.as_bytes()].concat();
        let cases: [(&[u8], &str); 14] = [
            (&good[..good.len() - 1], "ends after 3 of 4 elements"),
            (&[&good[..], &[0]].concat(), "goes on behind the last element"),
            (&good[..20], "ends within its header"),
            (b"x,y\n1,2\n", "does not begin like one"),
            (b"\x93NUMPY\x09\x00\x00", "version 9"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "4294967295 bytes, expected at most 65536"),
            (&nested, "expected the type of plain elements"),
            (&described("<\x1b4", "1,", &[0; 4]), "found the header `{'descr': '<\\u{1b}4'"),
            (&described("<f2", "1,", &[0; 2]), "type f2, expected whole numbers"),
            (&described("<U0", "4000000000,", &[]), "type U0"),
            (&described("<U4000000000", "1,", &[]), "type U4000000000"),
            (&described("|u1", "99999999999999999999,", &[]), "no array of NumPy"),
            (
                &described("|u1", "4294967296, 4294967296, 0", &[]),
                "more elements than can be counted",
            ),
            (&described("|u1", "1000000000000,", &[]), "ends after 0 of 1000000000000"),
        ];
        for (bytes, expected) in cases {
            let message = read(bytes).expect_err(expected);
            assert!(message.contains(expected), "{message}");
        }
        let surrogate = described("<U1", "1,", &0xd800u32.to_le_bytes());
        assert!(read(&surrogate[..]).expect_err("no character").contains("has no characters"));
    }
}
