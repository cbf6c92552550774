//! Numbers that belong to the rows of a table.

pub(super) use crate::network::Shape;

/// A part of every row that is numbers from the start: an image, a window of a series, an array's columns.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Names of the features.
    pub names: Vec<String>,
    /// The map that the features are; none for a flat array.
    pub shape: Option<Shape>,
    /// Original units, row-major `[n, features]`, all finite.
    pub values: Values,
    /// Where labels were looked for.
    pub labels: &'static str,
}

/// Numbers, one byte each as long as bytes are what they are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Pixels.
    Bytes(Vec<u8>),
    /// Anything else.
    Floats(Vec<f32>),
}

impl Shape {
    /// Names of the features of an image: `y3x5` is a pixel, `y3x5c0` one of its channels.
    pub(crate) fn names(&self) -> Vec<String> {
        let Self { height, width, channels } = *self;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| format!("y{y}x{x}")));
        let names = pixels.flat_map(|pixel| {
            (0..channels).map(move |channel| match channels {
                1 => pixel.clone(),
                _ => format!("{pixel}c{channel}"),
            })
        });
        names.collect()
    }
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// The values as floats.
    pub fn floats(&self) -> Vec<f32> {
        match self {
            Self::Bytes(bytes) => bytes.iter().copied().map(f32::from).collect(),
            Self::Floats(floats) => floats.clone(),
        }
    }

    /// The values along the `axes`, each a length and the distance of its neighbours here, the last axis
    /// fastest.
    pub fn along(&self, axes: &[(usize, usize)]) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(gather(bytes, axes)),
            Self::Floats(floats) => Self::Floats(gather(floats, axes)),
        }
    }

    /// The named rows of `width` values each.
    pub fn rows(&self, rows: &[usize], width: usize) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(chosen(bytes, rows, width)),
            Self::Floats(floats) => Self::Floats(chosen(floats, rows, width)),
        }
    }
}

fn chosen<T: Copy>(values: &[T], rows: &[usize], width: usize) -> Vec<T> {
    rows.iter().flat_map(|&row| &values[row * width..(row + 1) * width]).copied().collect()
}

fn gather<T: Copy>(values: &[T], axes: &[(usize, usize)]) -> Vec<T> {
    fn append<T: Copy>(out: &mut Vec<T>, values: &[T], axes: &[(usize, usize)]) {
        match axes {
            [] => out.extend(values.first()),
            [(length, 1)] => out.extend_from_slice(&values[..*length]),
            [(length, stride), rest @ ..] => {
                (0..*length).for_each(|index| append(out, &values[index * stride..], rest));
            }
        }
    }
    let mut out = Vec::with_capacity(values.len());
    append(&mut out, values, axes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_values() {
        let names = |height, width, channels| Shape { height, width, channels }.names();
        assert_eq!(names(2, 2, 1), ["y0x0", "y0x1", "y1x0", "y1x1"]);
        assert_eq!(names(1, 2, 2), ["y0x0c0", "y0x0c1", "y0x1c0", "y0x1c1"]);
    }

    #[test]
    fn axes_are_exchanged() {
        let values = Values::Bytes((0..6).collect());
        assert_eq!(values.along(&[(3, 1), (2, 3)]), Values::Bytes(vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(values.along(&[(2, 3), (3, 1)]), values);
    }
}
