// out[n] = epilogue(left[n] · right[n]) for every particle n: the batched matrix product.
//
// A workgroup of DOWN × ACROSS threads makes a tile of one particle's product, each thread a micro-tile
// of 4·ROW_VECTORS × 4·COLUMN_VECTORS in registers; slabs of SLAB steps of the depth pass through
// workgroup memory. Sums run over the depth in order, so that a value does not depend on how many
// particles there are.
//
// The lines between braces are written by `product.rs` for every size of the micro-tile.

// Value (row, column) of particle n is at offset + n · batch + row · row_stride + column · column_stride.
struct View {
    offset: u32,
    row_stride: u32,
    column_stride: u32,
    batch: u32,
}

struct Product {
    rows: u32,
    columns: u32,
    depth: u32,
    unused: u32,
    left: View,
    right: View,
    out: View,
    // What the epilogue reads: biases, or the activations whose derivative is taken.
    other: View,
}

@group(0) @binding(0) var<uniform> product: Product;
@group(0) @binding(1) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read> right: array<f32>;
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// Whether the product is added to what `out` holds.
override ACCUMULATE: bool = false;
// What is done to a value before it is written: nothing; a bias added, and the activation applied;
// multiplied by the derivative of the activation whose value is `other`.
override EPILOGUE: u32 = 0u;
const BIAS: u32 = 1u;
const DERIVATIVE: u32 = 2u;

const SLAB: u32 = {slab}u;
const DOWN: u32 = {down}u;
const ACROSS: u32 = {across}u;
const ROW_VECTORS: u32 = {row_vectors}u;
const COLUMN_VECTORS: u32 = {column_vectors}u;
// Vectors along a side of the workgroup's tile.
const TILE_ROWS: u32 = DOWN * ROW_VECTORS;
const TILE_COLUMNS: u32 = ACROSS * COLUMN_VECTORS;

// [SLAB][vectors of four rows or columns]
var<workgroup> left_slab: array<vec4<f32>, SLAB * TILE_ROWS>;
var<workgroup> right_slab: array<vec4<f32>, SLAB * TILE_COLUMNS>;

fn left_value(start: u32, row: u32, step: u32) -> f32 {
    let index = start + row * product.left.row_stride + step * product.left.column_stride;
    return select(0.0, left[index], row < product.rows && step < product.depth);
}

fn right_value(start: u32, step: u32, column: u32) -> f32 {
    let index = start + step * product.right.row_stride + column * product.right.column_stride;
    return select(0.0, right[index], column < product.columns && step < product.depth);
}

// Loads a slab of both factors, neighbouring threads along the direction that lies together in memory.
fn load(thread: u32, batch: u32, corner: vec2<u32>, depth: u32) {
    let left_start = product.left.offset + batch * product.left.batch;
    for (var index = thread; index < SLAB * TILE_ROWS; index += DOWN * ACROSS) {
        var step = index / TILE_ROWS;
        var vector = index % TILE_ROWS;
        if product.left.column_stride == 1u {
            step = index % SLAB;
            vector = index / SLAB;
        }
        let row = corner.y + 4u * vector;
        left_slab[step * TILE_ROWS + vector] = vec4<f32>(
            left_value(left_start, row, depth + step),
            left_value(left_start, row + 1u, depth + step),
            left_value(left_start, row + 2u, depth + step),
            left_value(left_start, row + 3u, depth + step),
        );
    }
    let right_start = product.right.offset + batch * product.right.batch;
    for (var index = thread; index < SLAB * TILE_COLUMNS; index += DOWN * ACROSS) {
        var step = index / TILE_COLUMNS;
        var vector = index % TILE_COLUMNS;
        if product.right.row_stride == 1u {
            step = index % SLAB;
            vector = index / SLAB;
        }
        let column = corner.x + 4u * vector;
        right_slab[step * TILE_COLUMNS + vector] = vec4<f32>(
            right_value(right_start, depth + step, column),
            right_value(right_start, depth + step, column + 1u),
            right_value(right_start, depth + step, column + 2u),
            right_value(right_start, depth + step, column + 3u),
        );
    }
}

fn finish(value: f32, workgroup: vec3<u32>, row: u32, column: u32) {
    if row >= product.rows || column >= product.columns {
        return;
    }
    let index = product.out.offset + workgroup.z * product.out.batch
        + row * product.out.row_stride + column * product.out.column_stride;
    var result = value;
    if ACCUMULATE {
        result += out[index];
    }
    if EPILOGUE != 0u {
        let at = other[product.other.offset + workgroup.z * product.other.batch
            + row * product.other.row_stride + column * product.other.column_stride];
        switch EPILOGUE {
            case BIAS: { result = activate(result + at); }
            default: { result *= slope_at_value(at); }
        }
    }
    out[index] = result;
}

fn finish_vector(values: vec4<f32>, workgroup: vec3<u32>, row: u32, column: u32) {
    finish(values.x, workgroup, row, column);
    finish(values.y, workgroup, row, column + 1u);
    finish(values.z, workgroup, row, column + 2u);
    finish(values.w, workgroup, row, column + 3u);
}

@compute @workgroup_size(DOWN * ACROSS)
fn multiply(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let corner = 4u * vec2<u32>(workgroup.x * TILE_COLUMNS, workgroup.y * TILE_ROWS);
    // This thread's first vectors within the tile; further ones lie ACROSS or DOWN vectors on.
    let across = thread % ACROSS;
    let down = thread / ACROSS;
    {zero}
    for (var depth = 0u; depth < product.depth; depth += SLAB) {
        load(thread, workgroup.z, corner, depth);
        workgroupBarrier();
        for (var step = 0u; step < SLAB; step++) {
            {read}
            {add}
        }
        workgroupBarrier();
    }
    {write}
}
