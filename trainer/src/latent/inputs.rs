//! Inputs that functions are compared at: training rows, inputs like them, and foreign ones.

use rand_distr::{Distribution, StandardNormal, Uniform};
use rand_xoshiro::Xoshiro256PlusPlus;

use fiberwalk_formats::INPUT_CLIP;

use crate::data::Inputs;
use crate::network::Shape;

/// Foreign inputs lie away from the training rows by up to this many standard deviations.
const MAX_SPREAD: f32 = 3.0;

/// Inputs near the training rows are up to this many standard deviations away: without them the decoder
/// is right at the training rows alone.
const NEAR_SPREAD: f32 = 0.7;

/// Maps like the training rows are shifted by up to this share of a side.
const MAX_SHIFT: f32 = 0.1;

/// Weight of a foreign probe where predictives are matched, against 1 for one near the training rows. Foreign
/// maps are put together from training rows, as unknown images and series are from strokes and edges, and what
/// the particles predict there is worth as much; foreign rows of flat features are training rows with noise.
pub fn foreign_weight(shape: Shape) -> f32 {
    if shape.positions() > 1 { 1.0 } else { 0.0 }
}

/// Row-major inputs `[size, features]`, the first half training rows and like them, the second half
/// foreign.
///
/// Where features are flat, a quarter are rows as they are, a quarter have σ·N(0, I) added with σ ~ U(0, 0.7),
/// half with σ ~ U(0, 3). Among maps, what is like a row is also a row shifted, or blended with another, and
/// what is foreign has noise of random grain or is put together from pieces of many rows: noise at single
/// values is not what an image or a series differs by from another.
pub fn draw_inputs(
    x: &Inputs,
    shape: Shape,
    size: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Vec<f32> {
    let rows = TrainingRows { x, shape };
    let mut inputs = Vec::with_capacity(size * shape.len());
    for probe in 0..size {
        let input = match (probe < size / 2, shape.positions() > 1) {
            (true, true) => match probe % 8 {
                0 | 4 => rows.any(rng),
                1 => rows.noisy(NEAR_SPREAD, 1, rng),
                2 | 3 | 6 => rows.shifted(rng),
                _ => rows.blended(rng),
            },
            (false, true) if probe % 2 == 0 => rows.collage(rng),
            (false, true) => {
                let grain = Uniform::new_inclusive(1, shape.height.max(shape.width).div_ceil(4));
                let grain = grain.expect("a map has a side").sample(rng);
                rows.noisy(MAX_SPREAD, grain, rng)
            }
            (true, false) if probe % 2 == 0 => rows.any(rng),
            (true, false) => rows.noisy(NEAR_SPREAD, 1, rng),
            (false, false) => rows.noisy(MAX_SPREAD, 1, rng),
        };
        inputs.extend(input.into_iter().map(|value| value.clamp(-INPUT_CLIP, INPUT_CLIP)));
    }
    inputs
}

/// Training rows `[rows, features]` of one shape.
struct TrainingRows<'a> {
    x: &'a Inputs,
    shape: Shape,
}

impl TrainingRows<'_> {
    /// A row.
    fn any(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let rows = Uniform::new(0, self.x.rows()).expect("there is a training row");
        self.x.row(rows.sample(rng))
    }

    /// A row with σ·N(0, I) added, σ ~ U(0, `spread`), the same at all positions of a square of `grain`.
    fn noisy(&self, spread: f32, grain: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let row = self.any(rng);
        let std = Uniform::new(0.0, spread).expect("0 < the spread").sample(rng);
        let mut normal = || -> f32 { StandardNormal.sample(rng) };
        if grain == 1 {
            return row.iter().map(|value| value + std * normal()).collect();
        }
        let Shape { height, width, channels } = self.shape;
        let (down, across) = (height.div_ceil(grain), width.div_ceil(grain));
        let noise: Vec<f32> = (0..down * across * channels).map(|_| std * normal()).collect();
        self.map(|y, x, channel| {
            let cell = y / grain * across + x / grain;
            row[self.index(y, x, channel)] + noise[cell * channels + channel]
        })
    }

    /// A row shifted; what comes in from outside repeats the edge.
    fn shifted(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let row = self.any(rng);
        let Shape { height, width, .. } = self.shape;
        let [down, across] = [height, width].map(|side| {
            let most = (MAX_SHIFT * side as f32).round() as i64;
            Uniform::new_inclusive(-most, most).expect("a range").sample(rng)
        });
        let within = |place: usize, by: i64, side: usize| {
            (place as i64 + by).clamp(0, side as i64 - 1) as usize
        };
        self.map(|y, x, channel| {
            row[self.index(within(y, down, height), within(x, across, width), channel)]
        })
    }

    /// A row between two (Zhang et al. 2018, mixup).
    fn blended(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let (one, other) = (self.shifted(rng), self.shifted(rng));
        let share = Uniform::new(0.0, 1.0f32).expect("0 < 1").sample(rng);
        one.iter().zip(&other).map(|(a, b)| share * a + (1.0 - share) * b).collect()
    }

    /// Pieces of rows side by side, each in its place: one row a cell of a grid of 2 to 4 a side.
    fn collage(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let Shape { height, width, .. } = self.shape;
        let cells = Uniform::new_inclusive(2, 4).expect("2 < 4").sample(rng);
        let rows: Vec<Vec<f32>> = (0..cells * cells).map(|_| self.any(rng)).collect();
        self.map(|y, x, channel| {
            let cell = y * cells / height * cells + x * cells / width;
            rows[cell][self.index(y, x, channel)]
        })
    }

    fn index(&self, y: usize, x: usize, channel: usize) -> usize {
        (y * self.shape.width + x) * self.shape.channels + channel
    }

    /// The map of `value(y, x, channel)`.
    fn map(&self, value: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
        let Shape { width, channels, .. } = self.shape;
        let at = |index: usize| {
            let position = index / channels;
            value(position / width, position % width, index % channels)
        };
        (0..self.shape.len()).map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    /// Rows whose value at (y, x) is 10 row + y + x / 10.
    fn rows() -> (Vec<f32>, Shape) {
        let shape = Shape { height: 4, width: 20, channels: 1 };
        let value = |index: usize| {
            let (row, place) = (index / shape.len(), index % shape.len());
            (10 * row + place / shape.width) as f32 + (place % shape.width) as f32 / 10.0
        };
        ((0..3 * shape.len()).map(value).collect(), shape)
    }

    #[test]
    fn shifts_repeat_the_edge_and_collages_keep_places() {
        let (x, shape) = rows();
        let inputs = Inputs::standardised(x.clone(), shape.len());
        let source = TrainingRows { x: &inputs, shape };
        let mut rng = stream(1, Purpose::Probes, 0);
        for _ in 0..50 {
            let shifted = source.shifted(&mut rng);
            let row = (shifted[0] / 10.0) as usize;
            let own = &x[row * shape.len()..(row + 1) * shape.len()];
            assert!(shifted.iter().all(|value| own.contains(value)));
            // A tenth of 4 rows is none, of 20 columns two.
            let across = (shifted[10] - own[10]) * 10.0;
            assert!(across.abs() < 2.1, "{across}");
            let collage = source.collage(&mut rng);
            for (place, value) in collage.iter().enumerate() {
                assert!((0..3).any(|row| x[row * shape.len() + place] == *value));
            }
        }
    }

    #[test]
    fn half_the_inputs_are_rows_or_like_them() {
        let (x, shape) = rows();
        let x: Vec<f32> = x.iter().map(|value| value / 10.0 - 1.0).collect();
        let rows = Inputs::standardised(x.clone(), shape.len());
        let inputs = draw_inputs(&rows, shape, 64, &mut stream(2, Purpose::Probes, 0));
        assert_eq!(inputs.len(), 64 * shape.len());
        assert!(inputs.iter().all(|value| value.abs() <= INPUT_CLIP));
        let exact = |input: &[f32]| x.chunks_exact(shape.len()).any(|row| row == input);
        let inputs: Vec<&[f32]> = inputs.chunks_exact(shape.len()).collect();
        assert!(inputs[..32].iter().filter(|input| exact(input)).count() >= 8);
        assert!(inputs[32..].iter().filter(|input| exact(input)).count() < 8);
    }
}
