//! An array of a file: its shape and elements.

use std::io::{self, Read};
use std::sync::Arc;

use bytemuck::Pod;
use fiberwalk_formats::MAX_MAP;

use super::numbers::Numbers;
use super::spread::Spread;
use super::value::LARGEST;
use super::{ChannelAxis, Column, Layout, Shape, Values};
use crate::store::{Store, Writer};

/// Where an array's labels come from, for a message.
pub(super) const LABELS_OPTION: &str = "give them in a file of their own, `labels`";

/// Elements that are read at once.
const CHUNK: usize = 1 << 16;
/// Most axes of an array, as in NumPy.
pub(super) const MOST_AXES: usize = 64;

/// An array in the order of C: the last axis is the fastest.
#[derive(Debug, PartialEq)]
pub(super) struct Array {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Elements, as many as the shape says.
    pub elements: Elements,
    /// Whether the first axis is the fastest instead.
    pub fortran: bool,
}

/// Elements of an array, as exactly as they are stored.
#[derive(Debug, PartialEq)]
pub(super) enum Elements {
    /// u8.
    Bytes(Store<u8>),
    /// Other whole numbers.
    Whole(Store<i64>),
    /// f32.
    Single(Store<f32>),
    /// f64.
    Double(Store<f64>),
    /// Text.
    Text(Vec<String>),
}

impl Elements {
    /// Returns them as fields of a table.
    fn into_fields(self) -> Vec<String> {
        fn fields<T: ToString>(elements: &[T]) -> Vec<String> {
            elements.iter().map(T::to_string).collect()
        }
        match self {
            Self::Bytes(elements) => fields(&elements),
            Self::Whole(elements) => fields(&elements),
            Self::Single(elements) => fields(&elements),
            Self::Double(elements) => fields(&elements),
            Self::Text(elements) => elements,
        }
    }

    /// Message about columns of which 32-bit floats hold too little, in an array of these rows and columns
    /// with these distances of neighbours.
    fn blurred(&self, [rows, columns]: [usize; 2], strides: [usize; 2]) -> Option<String> {
        let mut spreads = vec![Spread::default(); columns];
        for row in 0..rows {
            for (column, spread) in spreads.iter_mut().enumerate() {
                let index = row * strides[0] + column * strides[1];
                spread.meet(match self {
                    Self::Whole(elements) => elements[index] as f64,
                    Self::Double(elements) => elements[index],
                    Self::Bytes(_) | Self::Single(_) | Self::Text(_) => return None,
                });
            }
        }
        let found =
            |(column, spread): (usize, &Spread)| Some((column, spread.std(), spread.offset()?));
        let (column, std, offset) = spreads.iter().enumerate().find_map(found)?;
        Some(format!(
            "`x{column}` varies by {std:.1e} near {offset}, of which 32-bit floats hold too little: take {offset} \
             off it"
        ))
    }

    fn into_values(self) -> Result<Values, String> {
        match self {
            Self::Bytes(bytes) => Ok(Values::Bytes(bytes)),
            Self::Whole(elements) => singles(&elements, |x| x as f32),
            Self::Single(elements) => Ok(Values::Floats(elements)),
            Self::Double(elements) => singles(&elements, |x| x as f32),
            Self::Text(_) => Err("found text, expected numbers".to_owned()),
        }
    }
}

/// Number of elements of an array of this shape.
///
/// # Errors
/// More than can be counted, or more axes than arrays have.
pub(super) fn count(shape: &[usize]) -> Result<usize, String> {
    if shape.len() > MOST_AXES {
        let found = shape.len();
        return Err(format!("found an array of {found} axes, expected at most {MOST_AXES}"));
    }
    let product = |product: usize, &length: &usize| product.checked_mul(length);
    // An axis of length 0 hides no overflow.
    let lengths = shape.iter().try_fold(1, |all, length| product(all, length.max(&1)));
    lengths.ok_or_else(|| {
        format!("found an array {shape:?}: it has more elements than can be counted")
    })?;
    Ok(shape.iter().product())
}

/// Reads `count` elements of N bytes up to the end of a file.
///
/// # Errors
/// The file has fewer bytes or more, or cannot be read.
pub(super) fn elements<const N: usize, T: Pod>(
    mut file: impl Read,
    count: usize,
    element: impl Fn([u8; N]) -> T,
) -> Result<Store<T>, String> {
    let cannot = |error: io::Error| error.to_string();
    let mut elements = Writer::default();
    let (mut bytes, mut found) = (Vec::new(), 0);
    while found < count {
        bytes.clear();
        let most = CHUNK.min(count - found) * N;
        file.by_ref().take(most as u64).read_to_end(&mut bytes).map_err(cannot)?;
        let values: Vec<T> = bytes.as_chunks().0.iter().map(|&bytes| element(bytes)).collect();
        if values.is_empty() {
            return Err(format!("the file ends after {found} of {count} elements"));
        }
        found += values.len();
        elements.extend(&values).map_err(cannot)?;
    }
    end(&mut file)?;
    elements.finish().map_err(cannot)
}

/// Checks that the file ends here, and what is compared at its end.
pub(super) fn end(file: &mut impl Read) -> Result<(), String> {
    match file.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err("the file goes on behind the last element".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn singles<T: Copy>(elements: &[T], single: impl Fn(T) -> f32) -> Result<Values, String> {
    let mut floats = Writer::default();
    for chunk in elements.chunks(CHUNK) {
        let chunk: Vec<f32> = chunk.iter().copied().map(&single).collect();
        floats.extend(&chunk).map_err(|error| error.to_string())?;
    }
    Ok(Values::Floats(floats.finish().map_err(|error| error.to_string())?))
}

impl Array {
    /// Number of rows: the length of the first axis.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// One field a row: an array `[n]` or `[n, 1]`.
    pub fn into_fields(self) -> Result<Vec<String>, String> {
        match self.shape[..] {
            [_] | [_, 1] => Ok(self.elements.into_fields()),
            _ => Err(format!("found an array {:?}, expected one label a row: [n]", self.shape)),
        }
    }

    /// Features of rows: `[n, features]`, or maps with their channels where `channels` says.
    pub fn into_numbers(
        self,
        channels: ChannelAxis,
        labels: &'static str,
    ) -> Result<Numbers, String> {
        use ChannelAxis::{First, Last, Usual};
        let Self { shape, elements, fortran } = self;
        if shape.iter().skip(1).any(|&length| length == 0) {
            return Err(format!("found an array {shape:?}: its rows are empty"));
        }
        let row = count(&shape[1.min(shape.len())..])?;
        if row > MAX_MAP {
            return Err(format!(
                "found an array {shape:?}: its rows have {row} values, expected at most {MAX_MAP}"
            ));
        }
        let map = |height, width, channels| Layout::Image(Shape { height, width, channels });
        let columns = |count| {
            Layout::Columns((0..count).map(|index| Column::Number(format!("x{index}"))).collect())
        };
        let (layout, axes): (_, &[usize]) = match (&shape[..], channels) {
            (&[_, features], Usual) => (columns(features), &[0, 1]),
            (&[_, height, width], Usual) => (map(height, width, 1), &[0, 1, 2]),
            (&[_, length, channels], Last) => (map(1, length, channels), &[0, 1, 2]),
            (&[_, height, width, channels], Usual | Last) => {
                (map(height, width, channels), &[0, 1, 2, 3])
            }
            (&[_, channels, length], First) => (map(1, length, channels), &[0, 2, 1]),
            (&[_, channels, height, width], First) => (map(height, width, channels), &[0, 2, 3, 1]),
            (_, channels) => {
                let expected = match channels {
                    Usual => {
                        "rows [n, features], images [n, height, width] or [n, height, width, channels]"
                    }
                    First => {
                        "[n, channels, height, width] or [n, channels, length] with `channels` first"
                    }
                    Last => {
                        "[n, height, width, channels] or [n, length, channels] with `channels` last"
                    }
                };
                return Err(format!("found an array {shape:?}, expected {expected}"));
            }
        };
        let strides = strides(&shape, fortran);
        let blurred = match &layout {
            Layout::Columns(_) => elements.blurred([shape[0], shape[1]], [strides[0], strides[1]]),
            _ => None,
        };
        let mut values = elements.into_values()?;
        if fortran || channels == First {
            let axes: Vec<_> = axes.iter().map(|&axis| (shape[axis], strides[axis])).collect();
            values = values.along(&axes).map_err(|error| error.to_string())?;
        }
        let numbers = Numbers { layout, values: Arc::new(values), blurred, labels };
        match numbers.not_finite() {
            None => Ok(numbers),
            Some((row, input, found)) => Err(format!(
                "row {}, `{}`: found {found}, expected a finite number within ± {LARGEST:e}",
                row + 1,
                numbers.layout.names()[input]
            )),
        }
    }
}

impl Numbers {
    /// Row, input and value of the first number that is none or too large.
    fn not_finite(&self) -> Option<(usize, usize, f32)> {
        let Values::Floats(floats) = &*self.values else { return None };
        let index = floats.iter().position(|&x| x.is_nan() || f64::from(x.abs()) > LARGEST)?;
        let inputs = self.layout.len();
        Some((index / inputs, index % inputs, floats[index]))
    }
}

/// Distances of neighbours along each axis.
fn strides(shape: &[usize], fortran: bool) -> Vec<usize> {
    let product = |lengths: &[usize]| lengths.iter().product();
    let stride = |axis| match fortran {
        true => product(&shape[..axis]),
        false => product(&shape[axis + 1..]),
    };
    (0..shape.len()).map(stride).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize]) -> Array {
        let elements: Vec<i64> = (0..shape.iter().product::<usize>() as i64).collect();
        let elements = Elements::Whole(elements.into());
        Array { shape: shape.to_vec(), elements, fortran: false }
    }

    #[test]
    fn channels_go_last() {
        let numbers = array(&[1, 2, 1, 3]).into_numbers(ChannelAxis::First, "").expect("a map");
        assert_eq!(numbers.layout, Layout::Image(Shape { height: 1, width: 3, channels: 2 }));
        assert_eq!(numbers.values.to_floats(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let series = array(&[1, 2, 3]).into_numbers(ChannelAxis::First, "").expect("a series");
        assert_eq!((series.layout, &series.values), (numbers.layout.clone(), &numbers.values));
        let last = array(&[1, 3, 2]).into_numbers(ChannelAxis::Last, "").expect("a series");
        assert_eq!(last.layout, numbers.layout);
        assert_eq!(last.values.to_floats(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn the_order_of_fortran_is_undone() {
        let fortran = Array { fortran: true, ..array(&[2, 3]) };
        let numbers = fortran.into_numbers(ChannelAxis::Usual, "").expect("rows");
        assert!(matches!(&numbers.layout, Layout::Columns(_)));
        assert_eq!(numbers.layout.names(), ["x0", "x1", "x2"]);
        assert_eq!(numbers.values.to_floats(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }

    /// They are refused to train on; a few rows to predict may well lie close together.
    #[test]
    fn doubles_that_lie_close_together_are_told() {
        let elements = vec![52.520_006, 1.0, 52.520_016, 2.0, 52.519_973, 3.0];
        let elements = Elements::Double(elements.into());
        let array = Array { shape: vec![3, 2], elements, fortran: false };
        let message =
            array.into_numbers(ChannelAxis::Usual, "").expect("rows").blurred.expect("close");
        assert!(message.contains("`x0` varies by 1.8e-5 near 52.52"), "{message}");
        assert_eq!(
            self::array(&[3, 2]).into_numbers(ChannelAxis::Usual, "").expect("rows").blurred,
            None
        );
    }

    #[test]
    fn what_is_no_row_of_numbers_is_refused() {
        let refused = |array: Array, first| {
            let channels = if first { ChannelAxis::First } else { ChannelAxis::Usual };
            array.into_numbers(channels, "").expect_err("refused")
        };
        assert!(refused(array(&[4]), false).contains("found an array [4], expected rows"));
        assert!(refused(array(&[4, 2]), true).contains("[n, channels, height, width]"));
        assert!(refused(array(&[4, 0]), false).contains("empty"));
        let elements = Elements::Double(vec![0.0, 1.0, f64::NAN, 3.0].into());
        let nan = Array { shape: vec![2, 2], elements, fortran: false };
        assert!(refused(nan, false).contains("row 2, `x0`: found NaN"));
        assert!(array(&[4, 2]).into_fields().expect_err("two").contains("one label a row"));
    }
}
