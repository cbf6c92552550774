//! Values that rows are made of.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use bytemuck::Pod;

use crate::store::{Store, Writer};

/// Values, one byte each as long as all are bytes.
#[derive(Debug, PartialEq)]
pub enum Values {
    /// Pixels.
    Bytes(Store<u8>),
    /// Anything else.
    Floats(Store<f32>),
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// All values in their order.
    pub fn iter(&self) -> impl Iterator<Item = f32> {
        let (bytes, floats): (&[u8], &[f32]) = match self {
            Self::Bytes(bytes) => (bytes, &[]),
            Self::Floats(floats) => (&[], floats),
        };
        bytes.iter().copied().map(f32::from).chain(floats.iter().copied())
    }

    /// Some of the values as floats.
    pub fn floats(&self, range: Range<usize>) -> Cow<'_, [f32]> {
        match self {
            Self::Bytes(bytes) => bytes[range].iter().copied().map(f32::from).collect(),
            Self::Floats(floats) => Cow::Borrowed(&floats[range]),
        }
    }

    /// A row of `width` values as floats.
    pub fn row(&self, row: usize, width: usize) -> Cow<'_, [f32]> {
        self.floats(row * width..(row + 1) * width)
    }

    /// All values as floats, in memory.
    pub fn to_floats(&self) -> Vec<f32> {
        self.floats(0..self.len()).into_owned()
    }

    /// The values along the `axes`, each a length and the distance of its neighbours here, the last axis
    /// fastest.
    ///
    /// # Errors
    /// A temporary file cannot be written.
    pub fn along(&self, axes: &[(usize, usize)]) -> io::Result<Self> {
        Ok(match self {
            Self::Bytes(bytes) => Self::Bytes(gather(bytes, axes)?),
            Self::Floats(floats) => Self::Floats(gather(floats, axes)?),
        })
    }

    /// The named rows of `width` values each.
    ///
    /// # Errors
    /// A temporary file cannot be written.
    pub fn rows(&self, rows: &[usize], width: usize) -> io::Result<Self> {
        Ok(match self {
            Self::Bytes(bytes) => Self::Bytes(chosen(bytes, rows, width)?),
            Self::Floats(floats) => Self::Floats(chosen(floats, rows, width)?),
        })
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::Floats(values.into())
    }
}

fn chosen<T: Pod>(values: &[T], rows: &[usize], width: usize) -> io::Result<Store<T>> {
    let mut out = Writer::default();
    for row in rows {
        out.extend(&values[row * width..(row + 1) * width])?;
    }
    out.finish()
}

fn gather<T: Pod>(values: &[T], axes: &[(usize, usize)]) -> io::Result<Store<T>> {
    fn append<T: Pod>(
        out: &mut Writer<T>,
        values: &[T],
        axes: &[(usize, usize)],
    ) -> io::Result<()> {
        match axes {
            [] => out.extend(&values[..1]),
            [(length, 1)] => out.extend(&values[..*length]),
            [(length, stride), rest @ ..] => {
                (0..*length).try_for_each(|index| append(out, &values[index * stride..], rest))
            }
        }
    }
    let mut out = Writer::default();
    append(&mut out, values, axes)?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_exchanged() {
        let bytes = |bytes: &[u8]| Values::Bytes(bytes.to_vec().into());
        let values = bytes(&[0, 1, 2, 3, 4, 5]);
        let along = |axes| values.along(axes).expect("few");
        assert_eq!(along(&[(3, 1), (2, 3)]), bytes(&[0, 3, 1, 4, 2, 5]));
        assert_eq!(along(&[(2, 3), (3, 1)]), values);
    }
}
