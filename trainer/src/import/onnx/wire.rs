//! The wire format of protocol buffers, read within limits.
//!
//! Nothing is allocated and no depth is reached because a file says so: a message is a slice of the file,
//! and its fields come one after another.

use std::cell::Cell;

use anyhow::{Context, bail};

/// Most fields of a model's messages together. A network of 8 layers has some thousands; a message of two bytes
/// can take hundreds in memory, so that this many take some 100 MB.
pub const MAX_FIELDS: usize = 200_000;
/// Most bits of a varint.
const VARINT_BITS: u32 = 64;

/// Value of a field.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// A whole number.
    Number(u64),
    /// Four bytes, least first.
    Four([u8; 4]),
    /// Eight bytes, least first.
    Eight([u8; 8]),
    /// A text, a message or packed values.
    Bytes(&'a [u8]),
}

/// Fields of one message; all messages of a file share what is left of [`MAX_FIELDS`].
pub struct Message<'a, 'l> {
    rest: &'a [u8],
    left: &'l Cell<usize>,
}

impl<'a, 'l> Message<'a, 'l> {
    /// The message of these bytes.
    pub const fn new(bytes: &'a [u8], left: &'l Cell<usize>) -> Self {
        Self { rest: bytes, left }
    }

    /// Number and value of the next field; none at the end.
    ///
    /// # Errors
    /// The bytes end within it, its type is unknown, or there are too many fields.
    pub fn next(&mut self) -> anyhow::Result<Option<(u64, Field<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Some(left) = self.left.get().checked_sub(1) else {
            bail!("it has more than {MAX_FIELDS} fields");
        };
        self.left.set(left);
        let tag = varint(&mut self.rest)?;
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut self.rest)?),
            1 => Field::Eight(self.fixed()?),
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).unwrap_or(usize::MAX);
                let (bytes, rest) = self
                    .rest
                    .split_at_checked(length)
                    .with_context(|| format!("it ends before the {length} bytes of a field"))?;
                self.rest = rest;
                Field::Bytes(bytes)
            }
            5 => Field::Four(self.fixed()?),
            other => bail!("found a field of the unknown type {other}"),
        };
        Ok(Some((tag >> 3, field)))
    }

    /// The message that a field holds.
    ///
    /// # Errors
    /// It holds a number.
    pub fn inner(&self, field: Field<'a>) -> anyhow::Result<Self> {
        Ok(Self { rest: field.bytes()?, left: self.left })
    }

    fn fixed<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().context("it ends within a field")?;
        self.rest = rest;
        Ok(*bytes)
    }
}

impl<'a> Field<'a> {
    /// Its bytes.
    pub fn bytes(self) -> anyhow::Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => bail!("found a number in place of a text or a message"),
        }
    }

    /// Its text.
    pub fn text(self) -> anyhow::Result<&'a str> {
        std::str::from_utf8(self.bytes()?).context("found a text that is not UTF-8")
    }

    /// Its whole number, in two's complement.
    pub fn int(self) -> anyhow::Result<i64> {
        match self {
            Self::Number(number) => Ok(number.cast_signed()),
            _ => bail!("found another type in place of a whole number"),
        }
    }

    /// Its single-precision number.
    pub fn single(self) -> anyhow::Result<f32> {
        match self {
            Self::Four(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => bail!("found another type in place of a single-precision number"),
        }
    }
}

/// Takes a number of up to ten bytes, seven bits each, least first.
pub fn varint(rest: &mut &[u8]) -> anyhow::Result<u64> {
    let mut number = 0u64;
    for shift in (0..VARINT_BITS).step_by(7) {
        let (&byte, after) = rest.split_first().context("it ends within a number")?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    bail!("found a number of more than 64 bits")
}
