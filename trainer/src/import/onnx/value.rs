//! Full shape of a tensor that the input leads to, and where its values lie in a map.
//!
//! A row of such a tensor is made of *parts*: the sides of a map, or of the input. An axis of the tensor counts
//! the rows, or it runs over some parts, the last one fastest: `[n, c, h, w]` has an axis a part, flattening
//! joins them, transposing changes their order. Parts of length 1 belong to no axis.

use anyhow::{Context, bail, ensure};

use super::tensor::{Tensor, axes, axis};
use crate::network::Shape;

/// Parts of a map, as a layer gives it: channels last.
pub const HEIGHT: usize = 0;
/// See [`HEIGHT`].
pub const WIDTH: usize = 1;
/// See [`HEIGHT`].
pub const CHANNELS: usize = 2;

/// An axis of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axis {
    /// The axis of the rows.
    Rows,
    /// An axis over these parts.
    Over(Vec<usize>),
}

/// A tensor that the input leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Layers before it, and operators since the last of them.
    pub place: [usize; 2],
    /// Lengths of the parts of a row, in the order in which the map's values lie.
    pub sizes: Vec<usize>,
    /// Its axes.
    pub axes: Vec<Axis>,
    /// Number of rows where the model fixes it.
    pub rows: Option<usize>,
}

impl Value {
    /// A tensor of rows whose axes are their parts.
    pub fn of_sides(sizes: Vec<usize>, rows: Option<usize>) -> Self {
        let over = |(part, &size): (usize, &usize)| Axis::Over(part_of(part, size));
        let axes = [Axis::Rows].into_iter().chain(sizes.iter().enumerate().map(over)).collect();
        Self { place: [0, 0], sizes, axes, rows }
    }

    /// A map `[n, channels, …]` of so many axes; two of a row.
    pub fn of_map(map: Shape, rank: usize, rows: Option<usize>) -> Self {
        let sizes = vec![map.height, map.width, map.channels];
        let parts = [CHANNELS, HEIGHT, WIDTH];
        let parts = match rank {
            0..=2 => &parts[..1],
            3 => &[CHANNELS, WIDTH][..],
            _ => &parts[..],
        };
        let over = |&part: &usize| Axis::Over(part_of(part, sizes[part]));
        let axes = [Axis::Rows].into_iter().chain(parts.iter().map(over)).collect();
        Self { place: [0, 0], sizes, axes, rows }
    }

    /// Length of an axis; none of that of rows.
    pub fn length(&self, axis: &Axis) -> Option<usize> {
        match axis {
            Axis::Rows => None,
            Axis::Over(parts) => Some(parts.iter().map(|&part| self.sizes[part]).product()),
        }
    }

    /// Its shape; 1 in place of the number of rows.
    fn shape_of_row(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| self.length(axis).unwrap_or(1)).collect()
    }

    /// Number of values of a row.
    pub fn row_len(&self) -> usize {
        self.sizes.iter().product()
    }

    /// The parts of each axis but that of rows, which comes first.
    pub fn parts(&self) -> anyhow::Result<Vec<&[usize]>> {
        let parts = self.axes.iter().skip(1).map(|axis| match axis {
            Axis::Rows => None,
            Axis::Over(parts) => Some(parts.as_slice()),
        });
        let first = self.axes.first() == Some(&Axis::Rows);
        parts.collect::<Option<_>>().filter(|_| first).context("rows are not its first axis")
    }

    /// Place in the map of each value of a row, as the tensor has them.
    pub fn places(&self) -> Vec<usize> {
        let parts: Vec<usize> = self
            .axes
            .iter()
            .flat_map(|axis| if let Axis::Over(parts) = axis { &parts[..] } else { &[] })
            .copied()
            .collect();
        let step = |part: usize| self.sizes[part + 1..].iter().product::<usize>();
        parts.iter().fold(vec![0], |places, &part| {
            let along = (0..self.sizes[part]).map(|index| index * step(part)).collect::<Vec<_>>();
            places.iter().flat_map(|place| along.iter().map(move |more| place + more)).collect()
        })
    }

    /// The values of a constant for each value of a row, in the map's order, where it is broadcast to this
    /// tensor's shape.
    ///
    /// # Errors
    /// The sum or product of both has another shape, or differs from row to row.
    pub fn spread(&self, constant: &Tensor) -> anyhow::Result<Vec<f64>> {
        let shape = self.shape_of_row();
        let extra = shape.len().checked_sub(constant.shape.len());
        let fits = extra.is_some_and(|extra| {
            let along = constant.shape.iter().zip(&shape[extra..]);
            along.into_iter().all(|(&own, &length)| own == 1 || own == length)
        });
        ensure!(
            fits,
            "a constant of the shape {:?} does not keep the shape {self}: expected one value, or one for \
             each of an axis",
            constant.shape
        );
        let row = Tensor::of(shape, |place| constant.broadcast_at(place))?;
        let mut spread = vec![0.0; row.values.len()];
        for (value, place) in row.values.into_iter().zip(self.places()) {
            spread[place] = value;
        }
        Ok(spread)
    }

    /// Returns it with the axes in another order.
    pub fn transpose(&self, order: &Option<Vec<i64>>) -> anyhow::Result<Self> {
        let rank = self.axes.len();
        let order = match order {
            None => (0..rank).rev().collect(),
            Some(order) => {
                axes(order, rank)?;
                order.iter().map(|&one| axis(one, rank)).collect::<anyhow::Result<Vec<_>>>()?
            }
        };
        ensure!(
            order.len() == rank && order.first() == Some(&0),
            "found the order {order:?} of {self}, expected rows to stay first"
        );
        let axes = order.iter().map(|&axis| self.axes[axis].clone()).collect();
        Ok(Self { axes, ..self.clone() })
    }

    /// Returns it without these axes of length 1.
    pub fn squeeze(&self, given: Option<&[i64]>) -> anyhow::Result<Self> {
        let given =
            given.context("it names no axes: how many go would depend on the number of rows")?;
        let gone = axes(given, self.axes.len())?;
        let all = gone.iter().all(|&axis| self.length(&self.axes[axis]) == Some(1));
        ensure!(all, "found the axes {given:?} of {self}, expected those of length 1");
        let kept = self.axes.iter().enumerate().filter(|(axis, _)| !gone.contains(axis));
        Ok(Self { axes: kept.map(|(_, axis)| axis.clone()).collect(), ..self.clone() })
    }

    /// Returns it with new axes of length 1 at these places.
    pub fn unsqueeze(&self, given: Option<&[i64]>) -> anyhow::Result<Self> {
        let given = given.context("it names no axes")?;
        let new = axes(given, self.axes.len() + given.len())?;
        let mut own = self.clone();
        new.iter().for_each(|&axis| own.axes.insert(axis, Axis::Over(Vec::new())));
        Ok(own)
    }

    /// Flattens it to a matrix of rows: the axes before `at` become one, and the others another.
    pub fn flatten(&self, at: i64) -> anyhow::Result<Self> {
        let rank = self.axes.len();
        let at = if at == rank as i64 { rank } else { axis(at, rank)? };
        let before = self.axes.get(1..at).unwrap_or_default();
        ensure!(
            at > 0 && before.iter().all(|axis| self.length(axis) == Some(1)),
            "found axis = {at} of {self}, expected the rows alone before it"
        );
        let parts = self.parts()?.concat();
        Ok(Self { axes: vec![Axis::Rows, Axis::Over(parts)], ..self.clone() })
    }

    /// Returns it in another shape: lengths, where −1 is what is left, 0 the length of the same axis unless
    /// `zero_is_length`, and a value that is no number the number of rows. Before the first layer a row may be
    /// cut into other parts, in the order of the input's values: `free`.
    pub fn reshape(
        &self,
        lengths: &[f64],
        zero_is_length: bool,
        free: bool,
    ) -> anyhow::Result<Self> {
        let wrong = || {
            let shown: Vec<String> = lengths
                .iter()
                .map(|side| if side.is_nan() { "n".to_owned() } else { side.to_string() })
                .collect();
            format!("found the shape [{}] for {self}", shown.join(", "))
        };
        let parts = self.parts().with_context(wrong)?.concat();
        let (&first, rest) = lengths.split_first().with_context(wrong)?;
        let keeps = (first == 0.0 && !zero_is_length)
            || first.is_nan()
            || self.rows.is_some_and(|rows| first == rows as f64);
        ensure!(keeps || first == -1.0, "{}, expected rows to stay first", wrong());
        let mut sides = Vec::with_capacity(rest.len());
        for (index, &side) in rest.iter().enumerate() {
            let own = self.axes.get(index + 1).and_then(|axis| self.length(axis));
            sides.push(match side {
                0.0 if !zero_is_length => Some(own.with_context(wrong)?),
                -1.0 if keeps => None,
                side if side >= 1.0 => Some(side as usize),
                _ => bail!("{}", wrong()),
            });
        }
        let all = self.row_len();
        let known =
            sides.iter().flatten().try_fold(1usize, |product, &side| product.checked_mul(side));
        let known = known.with_context(wrong)?;
        ensure!(sides.iter().filter(|side| side.is_none()).count() <= 1, "{}", wrong());
        let open = all / known;
        let sides: Vec<usize> = sides.into_iter().map(|side| side.unwrap_or(open)).collect();
        let product = sides.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        ensure!(product == Some(all), "{}, which has {all} values a row", wrong());
        if free && parts.is_sorted() {
            return Ok(Self { place: self.place, ..Self::of_sides(sides, self.rows) });
        }
        let mut parts = parts.into_iter();
        let mut axes = vec![Axis::Rows];
        for side in sides {
            let (mut over, mut length) = (Vec::new(), 1);
            while length < side {
                let part = parts.next().with_context(wrong)?;
                length *= self.sizes[part];
                over.push(part);
            }
            ensure!(length == side, "{}: it cuts across the sides of a map", wrong());
            axes.push(Axis::Over(over));
        }
        Ok(Self { axes, ..self.clone() })
    }
}

/// A part that belongs to an axis: one longer than 1.
fn part_of(part: usize, size: usize) -> Vec<usize> {
    if size == 1 { Vec::new() } else { vec![part] }
}

impl std::fmt::Display for Value {
    /// `[n, 3, 8]`, n being the number of rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length =
            |axis: &Axis| self.length(axis).map_or("n".to_owned(), |side| side.to_string());
        write!(f, "[{}]", self.axes.iter().map(length).collect::<Vec<_>>().join(", "))
    }
}
