//! Evaluation of many networks at the same rows.

use super::context::{Gpu, GpuError};
use super::descent::tile_of;
use super::groups::in_groups;
use super::network::{Activations, Parameters, Pass};
use crate::network::{Architecture, Batch, most_rows};

impl Gpu {
    /// Outputs of every particle of `thetas: [N][P]` at every row of `batch`, `[N][C, rows]`.
    ///
    /// # Errors
    /// The device is lost, or has not even memory for one particle.
    pub(crate) fn outputs(
        &self,
        architecture: &Architecture,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> Result<Vec<Vec<f32>>, GpuError> {
        let most = self.particles_at_once(architecture, most_rows(architecture).min(batch.rows()));
        in_groups(thetas, most, |group| self.outputs_of_group(architecture, group, batch))
    }

    fn outputs_of_group(
        &self,
        architecture: &Architecture,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> Result<Vec<Vec<f32>>, GpuError> {
        let (count, classes) = (thetas.len(), architecture.outputs());
        let rows: Vec<&[f32]> = thetas.iter().map(Vec::as_slice).collect();
        let theta = self.upload_rows(&rows)?;
        let inputs = self.upload(batch.values());
        let activations =
            Activations::new(self, architecture, count, most_rows(architecture).min(batch.rows()));
        let mut outputs = vec![vec![0.0; classes * batch.rows()]; count];
        for tile in batch.tiles(architecture) {
            let stride = architecture.parameters();
            let pass = Pass {
                architecture,
                theta: Parameters { buffer: &theta, offset: 0, stride },
                input: tile_of(&inputs, batch, &tile),
                activations: &activations,
            };
            let mut program = Vec::new();
            self.record_forward(&pass, &mut program);
            self.run(&program)?;
            let values = self.read(activations.outputs(), 0..count * classes * tile.len())?;
            let blocks = values.chunks_exact((classes * tile.len()).max(1));
            for (outputs, block) in outputs.iter_mut().zip(blocks) {
                for (row, values) in block.chunks_exact(tile.len()).enumerate() {
                    let start = row * batch.rows() + tile.start;
                    outputs[start..start + tile.len()].copy_from_slice(values);
                }
            }
        }
        Ok(outputs)
    }
}
