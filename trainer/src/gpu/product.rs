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
    place: Place,
}

/// Strides in the layout of `product.wgsl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Place {
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

    /// As [`Self::new`], with the distances between rows and between columns.
    pub fn strided(
        buffer: &'a Buffer,
        [rows, columns]: [usize; 2],
        offset: usize,
        batch: usize,
        [row_stride, column_stride]: [usize; 2],
    ) -> Self {
        let place = Place {
            offset: index(offset),
            row_stride: index(row_stride),
            column_stride: index(column_stride),
            batch: index(batch),
        };
        Self { buffer, rows, columns, place }
    }

    /// The transposed view.
    pub fn transposed(self) -> Self {
        let place = Place {
            row_stride: self.place.column_stride,
            column_stride: self.place.row_stride,
            ..self.place
        };
        Self { rows: self.columns, columns: self.rows, place, ..self }
    }
}

/// What is done to a value of the product before it is written.
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
    left: Place,
    right: Place,
    out: Place,
    other: Place,
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
        let (code, other) = match epilogue {
            Epilogue::None => (0, left),
            Epilogue::Bias(biases, None) => (1, biases),
            Epilogue::Bias(biases, Activation::Tanh) => (2, biases),
            Epilogue::Bias(biases, Activation::Relu) => (3, biases),
            Epilogue::Derivative(at, Activation::Tanh) => (4, at),
            Epilogue::Derivative(at, Activation::Relu) => (5, at),
        };
        let vectors = |size: usize| if size > 32 { 2 } else { 1 };
        let (row_vectors, column_vectors) = (vectors(out.rows), vectors(out.columns));
        let kernel = Kernel {
            name: format!("product {row_vectors} x {column_vectors}"),
            source: source(row_vectors, column_vectors),
            entry: "multiply",
            bindings: &[Access::Uniform, Access::Read, Access::Read, Access::Read, Access::Write],
            constants: vec![("ACCUMULATE", u32::from(accumulate)), ("EPILOGUE", code)],
        };
        let parameters = Parameters {
            rows: index(out.rows),
            columns: index(out.columns),
            depth: index(left.columns),
            unused: 0,
            left: left.place,
            right: right.place,
            out: out.place,
            other: other.place,
        };
        let tiles = |size: usize, vectors: usize| size.div_ceil(32 * vectors);
        self.dispatch(
            kernel,
            &[&self.uniform(&parameters), left.buffer, right.buffer, other.buffer, out.buffer],
            [tiles(out.columns, column_vectors), tiles(out.rows, row_vectors), count],
        )
    }
}

/// `product.wgsl` with a micro-tile of so many vectors of four.
fn source(row_vectors: usize, column_vectors: usize) -> String {
    let (mut zero, mut read, mut add, mut write) = <(String, String, String, String)>::default();
    // Writing to a string cannot fail.
    for row in 0..row_vectors {
        let _ = writeln!(read, "let l{row} = left_slab[step * TILE_ROWS + {row}u * 8u + down];");
    }
    for column in 0..column_vectors {
        let slab = "right_slab[step * TILE_COLUMNS";
        let _ = writeln!(read, "let r{column} = {slab} + {column}u * 8u + across];");
    }
    for row in 0..4 * row_vectors {
        let (vector, lane) = (row / 4, ["x", "y", "z", "w"][row % 4]);
        for column in 0..column_vectors {
            let sum = format!("sum_{row}_{column}");
            let _ = writeln!(zero, "var {sum} = vec4<f32>(0.0);");
            let _ = writeln!(add, "{sum} = fma(vec4<f32>(l{vector}.{lane}), r{column}, {sum});");
            let _ = writeln!(
                write,
                "finish_vector({sum}, group.z, corner.y + ({vector}u * 8u + down) * 4u + {}u, \
                 corner.x + ({column}u * 8u + across) * 4u);",
                row % 4
            );
        }
    }
    include_str!("product.wgsl")
        .replace("{row_vectors}", &row_vectors.to_string())
        .replace("{column_vectors}", &column_vectors.to_string())
        .replace("{zero}", &zero)
        .replace("{read}", &read)
        .replace("{add}", &add)
        .replace("{write}", &write)
}
