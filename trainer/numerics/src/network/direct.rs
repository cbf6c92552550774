//! Products of matrices that lie in the nearest caches, straight from where they lie: packing
//! them first, as the `gemm` crate does, would cost more than it gains. A convolution is a sum of
//! products of parts of its map and of its weights, and takes no copy of either.
#![allow(unsafe_code, reason = "loops over parts of matrices whose bounds are checked once")]

use std::array::from_fn;

use pulp::Simd;

use super::matmul::{Base, Matrix};

/// Rows of the left matrix that [`Spread`] multiplies at once. 6 · 2 sums and 2 vectors of the
/// right matrix leave two of sixteen vector registers for the left one.
const SPREAD_ROWS: usize = 6;
/// Vectors of the right matrix that [`Spread`] multiplies at once.
const SPREAD_VECTORS: usize = 2;
/// Rows of the left matrix that [`Dots`] multiplies at once: 3 · 4 sums, 3 vectors and one more.
const DOT_ROWS: usize = 3;
/// Columns of the right matrix that [`Dots`] multiplies at once.
const DOT_COLUMNS: usize = 4;

/// `out = base + Σ left · right` over terms whose operands lie apart in regular steps.
pub(super) struct Sum<'a> {
    /// Row-major; rows start `out_stride` values apart.
    pub out: &'a mut [f32],
    pub out_stride: usize,
    pub base: Base<'a>,
    pub left: Matrix<'a>,
    pub right: Matrix<'a>,
    pub terms: Terms,
}

/// Where the terms of a [`Sum`] are: term (i, j) has the left operand `i · left[0] + j · left[1]` values
/// after the first one's, and likewise the right one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub counts: [usize; 2],
    pub left: [isize; 2],
    pub right: [isize; 2],
}

impl Terms {
    /// A single product.
    pub const ONE: Self = Self { counts: [1, 1], left: [0, 0], right: [0, 0] };

    /// Whether every operand, the first of which `matrix` is, lies within its slice.
    fn lie_within(&self, matrix: &Matrix<'_>, steps: [isize; 2]) -> bool {
        let reaches = from_fn::<_, 2, _>(|d| (self.counts[d] as isize - 1).max(0) * steps[d]);
        let first: isize = reaches.iter().map(|&reach| reach.min(0)).sum();
        let last: isize = reaches.iter().map(|&reach| reach.max(0)).sum();
        let start = matrix.start as isize;
        start + first >= 0 && start + last + matrix.span() as isize <= matrix.values.len() as isize
    }
}

impl Sum<'_> {
    /// Panics unless the shapes fit and every operand lies within its slice.
    #[inline(always)]
    fn check(&self) {
        let Self { out, out_stride, base, left, right, terms } = self;
        let span = Matrix::reach(left.rows, *out_stride, right.columns, 1);
        assert!(left.columns == right.rows && *out_stride >= right.columns && span <= out.len());
        assert!(terms.lie_within(left, terms.left) && terms.lie_within(right, terms.right));
        if let Base::Bias(bias) = base {
            assert!(bias.len() == left.rows);
        }
    }

    /// Calls `f` with where the operands of every term start.
    ///
    /// # Safety
    ///
    /// [`Self::check`] has passed.
    #[inline(always)]
    unsafe fn for_each_term(&self, mut f: impl FnMut(*const f32, *const f32)) {
        let Terms { counts, left, right } = self.terms;
        // SAFETY: the check covers every start.
        unsafe {
            let left_start = self.left.values.as_ptr().add(self.left.start);
            let right_start = self.right.values.as_ptr().add(self.right.start);
            for i in 0..counts[0] as isize {
                for j in 0..counts[1] as isize {
                    f(
                        left_start.offset(i * left[0] + j * left[1]),
                        right_start.offset(i * right[0] + j * right[1]),
                    );
                }
            }
        }
    }
}

/// The sum where the rows of `right` are contiguous: vectors lie along them, and every sum is taken in
/// order.
pub(super) struct Spread<'a>(pub Sum<'a>);

/// The sum where the rows of `left` and the columns of `right` are contiguous: vectors lie along the
/// sums, each of which is taken in as many parts as a vector has lanes.
pub(super) struct Dots<'a>(pub Sum<'a>);

impl pulp::WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.0.check();
        let (columns, block) = (self.0.right.columns, SPREAD_VECTORS * S::F32_LANES);
        let whole = columns - columns % block;
        for column in (0..whole).step_by(block) {
            let vectors = Whole::<S, SPREAD_VECTORS>(simd);
            self.column_block(vectors, column);
        }
        for column in (whole..columns).step_by(S::F32_LANES) {
            let lanes = (columns - column).min(S::F32_LANES);
            if lanes == S::F32_LANES {
                self.column_block(Whole::<S, 1>(simd), column);
            } else {
                self.column_block(Part { simd, lanes }, column);
            }
        }
    }
}

impl Spread<'_> {
    /// All rows of `out` in the columns that `vectors` covers from `column` on.
    #[inline(always)]
    fn column_block<V: Vectors<N>, const N: usize>(&mut self, vectors: V, column: usize) {
        let rows = self.0.left.rows;
        let whole = rows - rows % SPREAD_ROWS;
        for row in (0..whole).step_by(SPREAD_ROWS) {
            self.tile::<V, SPREAD_ROWS, N>(vectors, row, column);
        }
        match rows - whole {
            1 => self.tile::<V, 1, N>(vectors, whole, column),
            2 => self.tile::<V, 2, N>(vectors, whole, column),
            3 => self.tile::<V, 3, N>(vectors, whole, column),
            4 => self.tile::<V, 4, N>(vectors, whole, column),
            5 => self.tile::<V, 5, N>(vectors, whole, column),
            _ => {}
        }
    }

    /// `M` rows of `out` from `row` on.
    #[inline(always)]
    fn tile<V: Vectors<N>, const M: usize, const N: usize>(
        &mut self,
        vectors: V,
        row: usize,
        column: usize,
    ) {
        let sum = &mut self.0;
        let (left, right) = (sum.left, sum.right);
        let simd = vectors.simd();
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        // SAFETY: the check in `with_simd` covers every element of every term and of `out`; rows and
        // columns here are within the shapes, as a `Part` touches the lanes that are left alone.
        unsafe {
            sum.for_each_term(
                #[inline(always)]
                |left_start, right_start| {
                    let left_start = left_start.add(row * left.row_stride);
                    let right_start = right_start.add(column);
                    for k in 0..left.columns {
                        let x = vectors.load(right_start.add(k * right.row_stride));
                        let w = left_start.add(k * left.column_stride);
                        for (m, sums) in sums.iter_mut().enumerate() {
                            let w = simd.splat_f32s(*w.add(m * left.row_stride));
                            for (sum, &x) in sums.iter_mut().zip(&x) {
                                *sum = simd.mul_add_e_f32s(w, x, *sum);
                            }
                        }
                    }
                },
            );
            for (m, sums) in sums.into_iter().enumerate() {
                let out = sum.out.as_mut_ptr().add((row + m) * sum.out_stride + column);
                let base = match sum.base {
                    Base::Zero => [simd.splat_f32s(0.0); N],
                    Base::Out => vectors.load(out),
                    Base::Bias(bias) => [simd.splat_f32s(bias[row + m]); N],
                };
                vectors.store(out, from_fn(|v| simd.add_f32s(base[v], sums[v])));
            }
        }
    }
}

impl pulp::WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.0.check();
        let columns = self.0.right.columns;
        let whole = columns - columns % DOT_COLUMNS;
        for column in (0..whole).step_by(DOT_COLUMNS) {
            self.column_block::<S, DOT_COLUMNS>(simd, column);
        }
        match columns - whole {
            1 => self.column_block::<S, 1>(simd, whole),
            2 => self.column_block::<S, 2>(simd, whole),
            3 => self.column_block::<S, 3>(simd, whole),
            _ => {}
        }
    }
}

impl Dots<'_> {
    /// All rows of `out` in `N` columns from `column` on.
    #[inline(always)]
    fn column_block<S: Simd, const N: usize>(&mut self, simd: S, column: usize) {
        let rows = self.0.left.rows;
        let whole = rows - rows % DOT_ROWS;
        for row in (0..whole).step_by(DOT_ROWS) {
            self.tile::<S, DOT_ROWS, N>(simd, row, column);
        }
        match rows - whole {
            1 => self.tile::<S, 1, N>(simd, whole, column),
            2 => self.tile::<S, 2, N>(simd, whole, column),
            _ => {}
        }
    }

    /// `M` rows of `out` from `row` on.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
    ) {
        let own = &mut self.0;
        let (left, right) = (own.left, own.right);
        let depth = left.columns;
        let whole = depth - depth % S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        // SAFETY: as in `Spread::tile`.
        unsafe {
            own.for_each_term(
                #[inline(always)]
                |left_start, right_start| {
                    let left = from_fn(|m| left_start.add((row + m) * left.row_stride));
                    let right = from_fn(|n| right_start.add((column + n) * right.column_stride));
                    for k in (0..whole).step_by(S::F32_LANES) {
                        add_products(Whole::<S, 1>(simd), &mut sums, &left, &right, k);
                    }
                    if whole < depth {
                        let part = Part { simd, lanes: depth - whole };
                        add_products(part, &mut sums, &left, &right, whole);
                    }
                },
            );
        }
        for (m, sums) in sums.into_iter().enumerate() {
            let start = (row + m) * own.out_stride + column;
            for (out, sum) in own.out[start..start + N].iter_mut().zip(sums) {
                let base = match own.base {
                    Base::Zero => 0.0,
                    Base::Out => *out,
                    Base::Bias(bias) => bias[row + m],
                };
                *out = base + simd.reduce_sum_f32s(sum);
            }
        }
    }
}

/// Adds the products of the vectors at `k` of every row of `left` and column of `right`.
///
/// # Safety
///
/// The lanes of `vectors` at `k` must be within every row and column.
#[inline(always)]
unsafe fn add_products<V: Vectors<1>, const M: usize, const N: usize>(
    vectors: V,
    sums: &mut [[<V::S as Simd>::f32s; N]; M],
    left: &[*const f32; M],
    right: &[*const f32; N],
    k: usize,
) {
    // SAFETY: the caller's.
    let load = |start: *const f32| unsafe { vectors.load(start.add(k))[0] };
    let left: [_; M] = from_fn(|m| load(left[m]));
    for n in 0..N {
        let x = load(right[n]);
        for m in 0..M {
            sums[m][n] = vectors.simd().mul_add_e_f32s(left[m], x, sums[m][n]);
        }
    }
}

/// `N` neighbouring vectors in memory.
trait Vectors<const N: usize>: Copy {
    type S: Simd;

    fn simd(self) -> Self::S;

    /// # Safety
    ///
    /// The values must be readable.
    unsafe fn load(self, start: *const f32) -> [<Self::S as Simd>::f32s; N];

    /// # Safety
    ///
    /// The values must be writable.
    unsafe fn store(self, start: *mut f32, values: [<Self::S as Simd>::f32s; N]);
}

/// `N` whole vectors.
#[derive(Clone, Copy)]
struct Whole<S, const N: usize>(S);

impl<S: Simd, const N: usize> Vectors<N> for Whole<S, N> {
    type S = S;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    unsafe fn load(self, start: *const f32) -> [S::f32s; N] {
        // SAFETY: the caller's.
        unsafe { start.cast::<[S::f32s; N]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, start: *mut f32, values: [S::f32s; N]) {
        // SAFETY: the caller's.
        unsafe { start.cast::<[S::f32s; N]>().write_unaligned(values) }
    }
}

/// The first lanes of one vector; the others are read as 0 and not written.
#[derive(Clone, Copy)]
struct Part<S> {
    simd: S,
    lanes: usize,
}

impl<S: Simd> Vectors<1> for Part<S> {
    type S = S;

    #[inline(always)]
    fn simd(self) -> S {
        self.simd
    }

    #[inline(always)]
    unsafe fn load(self, start: *const f32) -> [S::f32s; 1] {
        // SAFETY: the caller's.
        [self.simd.partial_load_f32s(unsafe { std::slice::from_raw_parts(start, self.lanes) })]
    }

    #[inline(always)]
    unsafe fn store(self, start: *mut f32, [values]: [S::f32s; 1]) {
        // SAFETY: the caller's.
        let slice = unsafe { std::slice::from_raw_parts_mut(start, self.lanes) };
        self.simd.partial_store_f32s(slice, values);
    }
}
