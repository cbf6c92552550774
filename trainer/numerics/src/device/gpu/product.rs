//! The batched matrix product, the one kernel that nearly all the work goes through.

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};

use super::context::{Access, Buffer, Dispatch, Gpu, Kernel};
use crate::network::Activation;

/// One matrix a particle in a buffer of f32: value (row, column) of particle n is at
/// `offset + n · batch + row · row_stride + column · column_stride`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Where the values are.
    pub buffer: &'a Buffer,
    /// Shape.
    pub rows: usize,
    /// Shape.
    pub columns: usize,
    pub(super) strides: Strides,
}

/// Strides in the layout of `product.wgsl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Strides {
    offset: u32,
    row_stride: u32,
    column_stride: u32,
    batch: u32,
}

impl<'a> View<'a> {
    /// Dense row-major matrices `[rows, columns]`, those of two particles `batch` values apart (0:
    /// the same for all), the first at `offset`.
    pub fn new(
        buffer: &'a Buffer,
        [rows, columns]: [usize; 2],
        offset: usize,
        batch: usize,
    ) -> Self {
        Self::strided(buffer, [rows, columns], offset, batch, [columns, 1])
    }

    /// Matrices as in [`Self::new`], with the distances between rows and between columns.
    pub fn strided(
        buffer: &'a Buffer,
        [rows, columns]: [usize; 2],
        offset: usize,
        batch: usize,
        [row_stride, column_stride]: [usize; 2],
    ) -> Self {
        let strides = Strides {
            offset: index(offset),
            row_stride: index(row_stride),
            column_stride: index(column_stride),
            batch: index(batch),
        };
        Self { buffer, rows, columns, strides }
    }

    /// The transposed view.
    pub fn transposed(self) -> Self {
        let strides = Strides {
            row_stride: self.strides.column_stride,
            column_stride: self.strides.row_stride,
            ..self.strides
        };
        Self { rows: self.columns, columns: self.rows, strides, ..self }
    }
}

/// Last operation on a value of the product before it is written.
#[derive(Clone, Copy)]
pub(super) enum Epilogue<'a> {
    /// Nothing.
    None,
    /// The row's bias is added, and the result activated.
    Bias(View<'a>, Activation),
    /// Multiplied by the derivative of the activation whose value is at the same place.
    Derivative(View<'a>, Activation),
}

/// Indices fit 32 bits: a buffer is at most 4 GiB.
pub(super) fn index(value: usize) -> u32 {
    u32::try_from(value).expect("an index within a buffer of at most 4 GiB")
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Parameters {
    rows: u32,
    columns: u32,
    depth: u32,
    unused: u32,
    left: Strides,
    right: Strides,
    out: Strides,
    other: Strides,
}

impl Gpu {
    /// `out = epilogue(left · right)`, or `epilogue(out + left · right)`, for `count` particles.
    pub(super) fn product(
        &self,
        count: usize,
        left: View<'_>,
        right: View<'_>,
        out: View<'_>,
        accumulate: bool,
        epilogue: Epilogue<'_>,
    ) -> Dispatch {
        assert!(
            left.columns == right.rows && out.rows == left.rows && out.columns == right.columns
        );
        let (code, other, activation) = match epilogue {
            Epilogue::None => (0, left, Activation::Identity),
            Epilogue::Bias(biases, activation) => (1, biases, activation),
            Epilogue::Derivative(at, activation) => (2, at, activation),
        };
        let vectors = |size: usize| if size > 32 { 2 } else { 1 };
        let [row_vectors, column_vectors] = [out.rows, out.columns].map(vectors);
        let tile = Tile { down: 8, lanes: 1, row_vectors, column_vectors };
        let kernel = Kernel {
            name: format!("product {row_vectors} x {column_vectors}"),
            source: tile.source(include_str!("product.wgsl")),
            entry: "multiply",
            bindings: &[Access::Uniform, Access::Read, Access::Read, Access::Read, Access::Write],
            constants: vec![
                ("ACCUMULATE", u32::from(accumulate)),
                ("EPILOGUE", code),
                ("ACTIVATION", code_of(activation)),
            ],
        };
        let parameters = Parameters {
            rows: index(out.rows),
            columns: index(out.columns),
            depth: index(left.columns),
            unused: 0,
            left: left.strides,
            right: right.strides,
            out: out.strides,
            other: other.strides,
        };
        self.dispatch(
            kernel,
            &[&self.uniform(&parameters), left.buffer, right.buffer, other.buffer, out.buffer],
            [out.columns.div_ceil(tile.columns()), out.rows.div_ceil(tile.rows()), count],
        )
    }
}

/// An activation's number in `activation.wgsl`.
pub(super) fn code_of(activation: Activation) -> u32 {
    match activation {
        Activation::Identity => 0,
        Activation::Tanh => 1,
        Activation::Relu => 2,
        Activation::Relu6 => 3,
        Activation::HardSwish => 4,
    }
}

/// How the threads of a workgroup share out a tile of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// Threads along a column.
    down: usize,
    /// Threads that share out the steps of the depth of one micro-tile; each writes its own sums.
    lanes: usize,
    /// Vectors of four rows, and of four columns, of a thread.
    row_vectors: usize,
    column_vectors: usize,
}

impl Tile {
    /// Threads of a workgroup.
    const THREADS: usize = 64;
    /// Most vectors that a slab has of a side of the tile.
    const SLAB_VECTORS: usize = 512;

    /// The tile that computes `rows` by `columns` values at the least cost, where up to `most_lanes` threads
    /// may share out a micro-tile's steps.
    pub fn of(rows: usize, columns: usize, most_lanes: usize) -> Self {
        let sizes = [[2, 2], [2, 1], [1, 2], [1, 1]];
        let all = [1, 2, 4, 8].into_iter().filter(|&lanes| lanes <= most_lanes).flat_map(|lanes| {
            [8, 4, 2, 1].into_iter().flat_map(move |down| {
                sizes.map(|[row_vectors, column_vectors]| Self {
                    down,
                    lanes,
                    row_vectors,
                    column_vectors,
                })
            })
        });
        let fitting = all.filter(|tile| tile.columns() <= 256);
        let cost = |tile: &Self| {
            let (own_rows, own_columns) = (tile.rows(), tile.columns());
            // Of a workgroup in a step: its products, vectors of both slabs, and what it adds to them.
            let products = 16 * tile.row_vectors * tile.column_vectors;
            let vectors = tile.row_vectors + tile.column_vectors;
            let threads = tile.down * tile.across();
            let own = threads * (products + 4 * vectors) + 8 * (own_rows + own_columns);
            rows.div_ceil(own_rows) * columns.div_ceil(own_columns) * own
        };
        fitting.min_by_key(cost).expect("there are tiles")
    }

    fn across(self) -> usize {
        Self::THREADS / self.down / self.lanes
    }

    /// Threads that share out the steps of a micro-tile.
    pub fn lanes(self) -> usize {
        self.lanes
    }

    /// Rows of the product.
    pub fn rows(self) -> usize {
        4 * self.down * self.row_vectors
    }

    /// Columns of the product.
    pub fn columns(self) -> usize {
        4 * self.across() * self.column_vectors
    }

    /// The shader `template` with a micro-tile of so many vectors.
    pub fn source(self, template: &str) -> String {
        let (mut zero, mut read, mut add, mut write) =
            <(String, String, String, String)>::default();
        // Writing to a string cannot fail.
        for row in 0..self.row_vectors {
            let slab = "left_slab[step * TILE_ROWS";
            let _ = writeln!(read, "let l{row} = {slab} + {row}u * DOWN + down];");
        }
        for column in 0..self.column_vectors {
            let slab = "right_slab[step * TILE_COLUMNS";
            let _ = writeln!(read, "let r{column} = {slab} + {column}u * ACROSS + across];");
        }
        for row in 0..4 * self.row_vectors {
            let (vector, lane) = (row / 4, ["x", "y", "z", "w"][row % 4]);
            for column in 0..self.column_vectors {
                let sum = format!("sum_{row}_{column}");
                let _ = writeln!(zero, "var {sum} = vec4<f32>(0.0);");
                let _ =
                    writeln!(add, "{sum} = fma(vec4<f32>(l{vector}.{lane}), r{column}, {sum});");
                let _ = writeln!(
                    write,
                    "finish_vector({sum}, workgroup, \
                     corner.y + ({vector}u * DOWN + down) * 4u + {}u, \
                     corner.x + ({column}u * ACROSS + across) * 4u);",
                    row % 4
                );
            }
        }
        let most = 4 * Self::SLAB_VECTORS / self.columns().max(self.rows());
        let slab = most.min(16 * self.lanes).min(Self::THREADS);
        let activation = include_str!("activation.wgsl");
        let shader = template
            .replace("{slab}", &slab.to_string())
            .replace("{down}", &self.down.to_string())
            .replace("{across}", &self.across().to_string())
            .replace("{lanes}", &self.lanes.to_string())
            .replace("{row_vectors}", &self.row_vectors.to_string())
            .replace("{column_vectors}", &self.column_vectors.to_string())
            .replace("{zero}", &zero)
            .replace("{read}", &read)
            .replace("{add}", &add)
            .replace("{write}", &write);
        activation.to_owned() + &shader
    }
}
