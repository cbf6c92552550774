//! Tensors of any number of axes, in double precision.

use anyhow::{Context, ensure};

/// Most values of a tensor: twice the weights of the widest layer.
pub const MAX_VALUES: usize = 2 * fiberwalk_formats::MAX_WIDTH * fiberwalk_formats::MAX_WIDTH;

/// Values of a shape, the last axis next to each other in memory. Whole numbers are values too.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Length of every axis.
    pub shape: Vec<usize>,
    /// Values, as many as the shape has.
    pub values: Vec<f64>,
}

impl Tensor {
    /// `value` of every place of a shape, places as indices of all axes.
    ///
    /// # Errors
    /// The shape has more than [`MAX_VALUES`] values.
    pub fn of(shape: Vec<usize>, value: impl FnMut(&[usize]) -> f64) -> anyhow::Result<Self> {
        let mut value = value;
        let count = count(&shape)?;
        let mut values = Vec::with_capacity(count);
        let mut place = vec![0; shape.len()];
        for _ in 0..count {
            values.push(value(&place));
            for (index, &length) in place.iter_mut().zip(&shape).rev() {
                *index += 1;
                if *index < length {
                    break;
                }
                *index = 0;
            }
        }
        Ok(Self { shape, values })
    }

    /// A row of whole numbers.
    pub fn row(numbers: impl IntoIterator<Item = i64>) -> Self {
        let values: Vec<f64> = numbers.into_iter().map(|number| number as f64).collect();
        Self { shape: vec![values.len()], values }
    }

    /// The value at a place, which lies within the shape.
    pub fn at(&self, place: &[usize]) -> f64 {
        let index = place.iter().zip(&self.shape).fold(0, |sum, (&i, &length)| sum * length + i);
        self.values[index]
    }

    /// The value at a place of a shape that this one is broadcast to.
    pub fn broadcast_at(&self, place: &[usize]) -> f64 {
        self.values[broadcast_index(&self.shape, place)]
    }

    /// Returns the same values in another shape of as many.
    pub fn reshaped(&self, shape: Vec<usize>) -> anyhow::Result<Self> {
        let (found, expected) = (self.values.len(), count(&shape)?);
        ensure!(
            found == expected,
            "found {found} values for the shape {shape:?}, which has {expected}"
        );
        Ok(Self { shape, values: self.values.clone() })
    }

    /// Its values as whole numbers.
    pub fn whole(&self) -> anyhow::Result<Vec<i64>> {
        let whole = |&value: &f64| (value.fract() == 0.0).then_some(value as i64);
        self.values.iter().map(whole).collect::<Option<_>>().context("expected whole numbers")
    }
}

/// Where the value of a shape lies that is broadcast to `place`, of as many axes or more.
pub fn broadcast_index(shape: &[usize], place: &[usize]) -> usize {
    let extra = place.len() - shape.len();
    place[extra..].iter().zip(shape).fold(0, |sum, (&index, &length)| match length {
        1 => sum,
        _ => sum * length + index,
    })
}

/// Number of values of a shape.
///
/// # Errors
/// There are more than [`MAX_VALUES`].
pub fn count(shape: &[usize]) -> anyhow::Result<usize> {
    let product = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    product.filter(|&count| count <= MAX_VALUES).with_context(|| {
        format!("a tensor of the shape {shape:?} has more than {MAX_VALUES} values")
    })
}

/// The shape that two are broadcast to: axes are aligned at the last one, and one of length 1 is repeated.
pub fn broadcast(a: &[usize], b: &[usize]) -> anyhow::Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let length = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    (0..rank)
        .map(|axis| match [length(a, axis), length(b, axis)] {
            [1, one] | [one, 1] => Ok(one),
            [one, other] if one == other => Ok(one),
            _ => anyhow::bail!("the shapes {a:?} and {b:?} do not fit together"),
        })
        .collect()
}

/// An axis that counts from the end where it is negative.
pub fn axis(axis: i64, rank: usize) -> anyhow::Result<usize> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    from_start
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < rank)
        .with_context(|| format!("found the axis {axis} of {rank}"))
}

/// Several axes, each once.
pub fn axes(given: &[i64], rank: usize) -> anyhow::Result<Vec<usize>> {
    let mut found = given.iter().map(|&one| axis(one, rank)).collect::<anyhow::Result<Vec<_>>>()?;
    found.sort_unstable();
    found.dedup();
    ensure!(found.len() == given.len(), "found an axis twice among {given:?}");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_broadcast_from_the_last_axis() {
        assert_eq!(broadcast(&[2, 3, 4], &[4]).expect("fits"), [2, 3, 4]);
        assert_eq!(broadcast(&[3, 1], &[2, 1, 4]).expect("fits"), [2, 3, 4]);
        assert!(broadcast(&[3, 4], &[3]).is_err());
        let column = Tensor { shape: vec![3, 1], values: vec![1.0, 2.0, 3.0] };
        assert_eq!(column.broadcast_at(&[7, 2, 5]), 3.0);
        assert!(count(&[usize::MAX, 2]).is_err() && count(&[1 << 40]).is_err());
        assert!(axes(&[0, -2], 2).is_err() && axis(2, 2).is_err() && axis(i64::MIN, 2).is_err());
    }
}
