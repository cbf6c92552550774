//! The layers of a convolutional network, which read and write maps.

use fiberwalk_formats::{Artifact, Geometry, MAX_LAYERS, Step, ZERO_POINT, padded};

use crate::kernels::{
    Added, Convolution, Workspace, activate, add_factors, affine, head, head_mut, project,
};
use crate::scratch::Scratch;

/// The layers and their maps.
pub(crate) struct Maps<'m, 'a> {
    artifact: &'m Artifact<'a>,
    geometry: &'m Geometry<'a>,
    /// Of the input and of the hidden layers' outputs, among the bytes of all maps.
    offsets: &'m [usize; MAX_LAYERS],
}

impl<'m, 'a> Maps<'m, 'a> {
    pub const fn new(
        artifact: &'m Artifact<'a>,
        geometry: &'m Geometry<'a>,
        offsets: &'m [usize; MAX_LAYERS],
    ) -> Self {
        Self { artifact, geometry, offsets }
    }

    /// Where the input's bytes go.
    pub fn input<'s>(&self, maps: &'s mut [u8]) -> &'s mut [u8] {
        self.place(maps, 0)
    }

    /// The layers before `boundary`, of the input map, and the product of layer `boundary`, or of the
    /// last one, with its input where it is dense.
    #[inline(never)]
    pub fn share(&self, boundary: usize, scratch: &mut Scratch<'_>) {
        let Scratch { shared: maps, shared_projection, shared_sums, .. } = scratch;
        let Scratch { activations: patch, sums, projection, factors, .. } = scratch;
        let mut work = Workspace { patch, sums, projection, factors };
        for step in self.geometry.steps(&self.artifact.layers).take(boundary + 1) {
            let kept = step.index == boundary || self.is_last(&step);
            match (step.block.window.is_some(), kept) {
                (true, true) => {}
                (true, false) => self.convolve(&step, None, maps, &mut work),
                (false, true) => {
                    let inputs = self.inputs(&step, maps);
                    if step.index == boundary
                        && let Some((projection, shifts)) = step.layer.factors.projection()
                    {
                        project(projection, inputs, shifts, work.sums, shared_projection);
                    }
                    self.multiply(&step, maps, shared_sums);
                }
                (false, false) => {
                    let sums = self.multiply(&step, maps, work.sums);
                    activate(&step.layer.activation, sums, self.place(maps, step.index + 1));
                }
            }
        }
    }

    /// The layers from `boundary` on, or the last one, of what is shared; the last one's accumulators
    /// lie in `scratch.sums` then. The modulations are `stored` ones or those in the scratch buffer.
    #[inline(never)]
    pub fn sample(&self, boundary: usize, stored: Option<&[i8]>, scratch: &mut Scratch<'_>) {
        let Scratch { shared: maps, modulation, shared_projection, shared_sums, .. } = scratch;
        let Scratch { activations: patch, sums, projection, factors, .. } = scratch;
        let mut work = Workspace { patch, sums, projection, factors };
        let mut modulation = stored.unwrap_or(modulation);
        let first = boundary.min(self.artifact.layers.len().saturating_sub(1));
        for step in self.geometry.steps(&self.artifact.layers).skip(first) {
            let Step { layer, .. } = step;
            if step.block.window.is_some() {
                self.convolve(&step, Some(modulation), maps, &mut work);
                modulation = modulation.get(layer.factors.modulations()..).unwrap_or_default();
                continue;
            }
            let (sums, projection) = if step.index == first {
                let sums = head_mut(work.sums, layer.mean.outputs.into());
                sums.iter_mut().zip(&**shared_sums).for_each(|(sum, &shared)| *sum = shared);
                (sums, &**shared_projection)
            } else {
                if let Some((projection, shifts)) = layer.factors.projection() {
                    let inputs = self.inputs(&step, maps);
                    project(projection, inputs, shifts, work.sums, work.projection);
                }
                (self.multiply(&step, maps, work.sums), &*work.projection)
            };
            if step.index >= boundary {
                modulation =
                    add_factors(&layer.factors, projection, modulation, work.factors, sums);
            }
            if !self.is_last(&step) {
                activate(&layer.activation, sums, self.place(maps, step.index + 1));
            }
        }
    }

    /// A convolution's output map.
    fn convolve(
        &self,
        step: &Step<'_, '_>,
        modulation: Option<&[i8]>,
        maps: &mut [u8],
        work: &mut Workspace<'_>,
    ) {
        let Some(window) = &step.block.window else { return };
        let start = self.offset(step.index + 1);
        let end = start.saturating_add(padded(step.output.len()));
        let Some((maps, behind)) = maps.split_at_mut_checked(end) else { return };
        let Some((before, out)) = maps.split_at_mut_checked(start) else { return };
        // What is read lies on either side of what is written.
        let read = |map: usize| {
            let offset = self.offset(map);
            match offset.checked_sub(end) {
                None => before.get(offset..),
                Some(offset) => behind.get(offset..),
            }
            .unwrap_or_default()
        };
        let skip = step.block.skip.as_ref().map(|skip| {
            let map = usize::from(skip.layer) + 1;
            Added { skip, map: read(map), zero: self.zero(map) }
        });
        let (input, zero) = (read(step.index), self.zero(step.index));
        Convolution { step, window, input, zero, skip, modulation }.run(work, out);
    }

    /// The mean weights' accumulators of a dense layer, and what is added to them.
    fn multiply<'s>(&self, step: &Step<'_, '_>, maps: &[u8], sums: &'s mut [i32]) -> &'s mut [i32] {
        let sums = head_mut(sums, step.layer.mean.outputs.into());
        affine(&step.layer.mean, self.inputs(step, maps), sums);
        if let Some(skip) = &step.block.skip {
            let map = usize::from(skip.layer) + 1;
            let bytes = maps.get(self.offset(map)..).unwrap_or_default();
            Added { skip, map: bytes, zero: self.zero(map) }.add(0, sums);
        }
        sums
    }

    /// The bytes that a dense layer reads.
    fn inputs<'s>(&self, step: &Step<'_, '_>, maps: &'s [u8]) -> &'s [u8] {
        let map = maps.get(self.offset(step.index)..).unwrap_or_default();
        head(map, padded(step.layer.mean.inputs.into()))
    }

    /// From the start of a map on.
    fn place<'s>(&self, maps: &'s mut [u8], map: usize) -> &'s mut [u8] {
        maps.get_mut(self.offset(map)..).unwrap_or_default()
    }

    fn offset(&self, map: usize) -> usize {
        self.offsets.get(map).copied().unwrap_or(usize::MAX)
    }

    /// The byte of 0 in a map: the input, or the output of the layer before it.
    fn zero(&self, map: usize) -> u8 {
        let layer = map.checked_sub(1).and_then(|layer| self.artifact.layers.get(layer));
        layer.map_or(ZERO_POINT, |layer| layer.activation.zero_point())
    }

    fn is_last(&self, step: &Step<'_, '_>) -> bool {
        step.index + 1 == self.artifact.layers.len()
    }
}
