//! Activation and pooling of sums that are kept apart from the output, forward and backward.

use super::context::{Access, Buffer, Dispatch, Gpu, Kernel};
use super::product::{code_of, index};
use crate::network::{Block, Pool, PoolKind, Shape};

/// Threads of a workgroup in `pooling.wgsl` and `add.wgsl`.
const THREADS: usize = 256;
/// Most workgroups of a particle: a thread takes every so many values.
const MOST_WORKGROUPS: usize = 1 << 12;
/// The pooling of a block that does not pool.
const NONE: Pool = Pool { kind: PoolKind::Average, size: [1, 1], stride: [1, 1] };

/// Pooling and activation, from a block's sums to its output.
#[derive(Clone, Copy)]
pub(super) struct Pooling {
    block: Block,
    sums: Shape,
}

/// The maps of a block, all `[count][values, rows]`.
pub(super) struct PooledMaps<'a> {
    pub sums: &'a Buffer,
    /// The output, or the gradient with respect to it.
    pub pooled: &'a Buffer,
    /// Which value of every window is the largest.
    pub largest: &'a Buffer,
    /// Gradient with respect to the sums.
    pub d_sums: &'a Buffer,
}

impl Pooling {
    pub fn new(block: &Block, sums: Shape) -> Self {
        Self { block: *block, sums }
    }

    fn pool(&self) -> Pool {
        self.block.pool.unwrap_or(NONE)
    }

    /// Values of which the places of the largest are kept.
    pub fn windows(&self) -> usize {
        let pool = self.pool();
        if pool.kind == PoolKind::Max { pool.over(self.sums).len() } else { 0 }
    }

    /// Writes the output of a pass of `rows` rows.
    pub fn forward(&self, gpu: &Gpu, count: usize, rows: usize, maps: &PooledMaps<'_>) -> Dispatch {
        self.dispatch(gpu, "pool", count, rows, self.pool().over(self.sums).len(), maps)
    }

    /// Writes the gradient with respect to the sums.
    pub fn backward(
        &self,
        gpu: &Gpu,
        count: usize,
        rows: usize,
        maps: &PooledMaps<'_>,
    ) -> Dispatch {
        self.dispatch(gpu, "pull_back", count, rows, self.sums.len(), maps)
    }

    fn dispatch(
        &self,
        gpu: &Gpu,
        entry: &'static str,
        count: usize,
        rows: usize,
        values: usize,
        maps: &PooledMaps<'_>,
    ) -> Dispatch {
        let (pool, sums) = (self.pool(), self.sums);
        let pooled = pool.over(sums);
        let constants = [
            ("HEIGHT", sums.height),
            ("WIDTH", sums.width),
            ("CHANNELS", sums.channels),
            ("POOLED_HEIGHT", pooled.height),
            ("POOLED_WIDTH", pooled.width),
            ("SIZE_Y", pool.size[0]),
            ("SIZE_X", pool.size[1]),
            ("STRIDE_Y", pool.stride[0]),
            ("STRIDE_X", pool.stride[1]),
            ("MAX", usize::from(pool.kind == PoolKind::Max)),
            ("POOLS_FIRST", usize::from(self.block.pools_first())),
        ];
        let activation = ("ACTIVATION", code_of(self.block.activation));
        let constants = constants.map(|(name, value)| (name, index(value)));
        let kernel = Kernel {
            name: format!("pooling: {entry}"),
            source: include_str!("activation.wgsl").to_owned() + include_str!("pooling.wgsl"),
            entry,
            bindings: &[Access::Uniform, Access::Read, Access::Write, Access::Write, Access::Write],
            constants: constants.into_iter().chain([activation]).collect(),
        };
        let words = gpu.uniform(&[index(rows), 0, 0, 0]);
        let buffers = [&words, maps.sums, maps.pooled, maps.largest, maps.d_sums];
        gpu.dispatch(kernel, &buffers, [workgroups(values * rows), count, 1])
    }
}

impl Gpu {
    /// Writes the first `len` values of `source` to `destination` or, with `accumulate`, adds them.
    pub(super) fn add(
        &self,
        source: &Buffer,
        destination: &Buffer,
        len: usize,
        accumulate: bool,
    ) -> Dispatch {
        let kernel = Kernel {
            name: "add".to_owned(),
            source: include_str!("add.wgsl").to_owned(),
            entry: "add",
            bindings: &[Access::Uniform, Access::Read, Access::Write],
            constants: vec![("ACCUMULATE", u32::from(accumulate))],
        };
        let len_word = self.uniform(&[index(len), 0, 0, 0]);
        self.dispatch(kernel, &[&len_word, source, destination], [workgroups(len), 1, 1])
    }
}

fn workgroups(threads: usize) -> usize {
    threads.div_ceil(THREADS).min(MOST_WORKGROUPS)
}
