//! How many particles are computed together.

use super::context::{Gpu, GpuError};
use super::network::largest_buffer;
use crate::descent::Descent;
use crate::network::Architecture;

/// Most floating-point operations of one dispatch, so that none runs for seconds on a slow GPU.
const MAX_DISPATCH: f64 = 1e11;

/// Rows of the largest mini-batch.
pub(super) fn largest_part(descent: &Descent<'_>) -> usize {
    descent.set.rows().div_ceil(descent.set.parts())
}

/// Applies `f` to groups of at most `most` items, smaller ones where memory does not do for so many, and
/// joins the results.
pub(super) fn in_groups<T, R>(
    items: &[T],
    mut most: usize,
    f: impl Fn(&[T]) -> Result<Vec<R>, GpuError>,
) -> Result<Vec<R>, GpuError> {
    let mut results = Vec::with_capacity(items.len());
    while results.len() < items.len() {
        let group = &items[results.len()..(results.len() + most).min(items.len())];
        match f(group) {
            Ok(computed) => results.extend(computed),
            Err(GpuError::OutOfMemory { .. }) if group.len() > 1 => most = group.len().div_ceil(2),
            Err(error) => return Err(error),
        }
    }
    Ok(results)
}

impl Gpu {
    /// Particles whose products run at once, tiles of so many rows each.
    pub(crate) fn particles_at_once(&self, architecture: &Architecture, rows: usize) -> usize {
        // Moments take two values a parameter.
        let largest = largest_buffer(architecture, rows).max(2 * architecture.parameters());
        let products =
            architecture.placed_blocks().into_iter().map(|placed| placed.products() * rows);
        self.at_once(largest, 2.0 * products.max().unwrap_or(1) as f64)
    }

    /// Particles whose whole steps run at once.
    pub(super) fn fused_at_once(&self, descent: &Descent<'_>) -> usize {
        let parameters = descent.architecture.parameters();
        let rows = largest_part(descent).max(1);
        // A product forward, one for the gradient of the weights and one for that of the inputs.
        self.at_once(2 * parameters, 6.0 * (parameters * rows) as f64)
    }

    /// Particles whose buffers of up to `values` values each are within the adapter's limits, and whose
    /// dispatches of so many operations each are short.
    fn at_once(&self, values: usize, operations: f64) -> usize {
        let limits = self.limits();
        let binding = self.largest_buffer() as usize / 4;
        (binding / values)
            .min((MAX_DISPATCH / operations) as usize)
            .min(limits.max_compute_workgroups_per_dimension as usize)
            .max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_shrink_until_they_fit() {
        let items: Vec<f32> = (0..11).map(|item| item as f32).collect();
        let out_of_memory = || GpuError::OutOfMemory { name: "small".to_owned() };
        let fits = |limit: usize| {
            move |group: &[f32]| {
                let results = group.iter().map(|&item| vec![item]).collect();
                if group.len() > limit { Err(out_of_memory()) } else { Ok(results) }
            }
        };
        for limit in [1, 3, 100] {
            let results = in_groups(&items, 8, fits(limit)).expect("one fits");
            assert_eq!(results.concat(), items);
        }
        assert!(matches!(in_groups(&items, 8, fits(0)), Err(GpuError::OutOfMemory { .. })));
    }
}
