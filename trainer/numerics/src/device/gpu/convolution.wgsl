// A convolution of every particle and its gradients, as products whose factors are found as they are
// read: nothing is laid out for them (implicit GEMM, Chetlur et al. 2014, arXiv 1410.0759).
//
//   sums                      [o, (position, row)] = Σ over taps of weights · map
//   gradient of the weights   [o, tap]             = Σ over (position, row) of delta · map
//   gradient of the input     [c, (place, row)]    = Σ over (ky, kx, o) of weights · delta
//
// A tap is (ky, kx, channel of the group), or the bias, which reads 1. LANES times DOWN × ACROSS threads
// make a tile of the product of one particle and group, each thread a micro-tile in registers; slabs of
// SLAB steps of the depth pass through workgroup memory. Sums run over the depth in order, so that a
// value does not depend on how many particles there are.
//
// The lines between braces are written by `product.rs` for every size of the micro-tile.

// Value (value, row) of particle n is at offset + n · batch + value · row_stride + row.
struct View {
    offset: u32,
    row_stride: u32,
    column_stride: u32,
    batch: u32,
}

struct Convolution {
    // Rows of data.
    rows: u32,
    // Steps of the depth that a workgroup sums, and into how many such shares the depth is cut.
    share: u32,
    shares: u32,
    // First bias of the first particle.
    biases: u32,
    left: View,
    right: View,
    out: View,
}

@group(0) @binding(0) var<uniform> product: Convolution;
@group(0) @binding(1) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read> right: array<f32>;
// A block's output that is added to the sums; or the activations whose derivative is taken, both in the
// layout of `out`.
@group(0) @binding(3) var<storage, read> other: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

override PRODUCT: u32 = 0u;
const SUMS: u32 = 0u;
const WEIGHT_GRADIENT: u32 = 1u;
const INPUT_GRADIENT: u32 = 2u;

// The map that is read, and that of the sums.
override HEIGHT: u32 = 1u;
override WIDTH: u32 = 1u;
override CHANNELS: u32 = 1u;
override OUT_HEIGHT: u32 = 1u;
override OUT_WIDTH: u32 = 1u;
override OUT_CHANNELS: u32 = 1u;
// The window.
override SIZE_Y: u32 = 1u;
override SIZE_X: u32 = 1u;
override STRIDE_Y: u32 = 1u;
override STRIDE_X: u32 = 1u;
override BEFORE_Y: u32 = 0u;
override BEFORE_X: u32 = 0u;
override GROUPS: u32 = 1u;

// Whether a block's output is added to the sums.
override SKIP: bool = false;
// Whether the gradient of the input is added to what `out` holds.
override ACCUMULATE: bool = false;
// Whether it is multiplied by the derivative of the activation.
override DERIVATIVE: bool = false;

const SLAB: u32 = {slab}u;
const DOWN: u32 = {down}u;
const ACROSS: u32 = {across}u;
// Of the gradient of the weights, every lane sums its own steps.
const LANES: u32 = {lanes}u;
const THREADS: u32 = DOWN * ACROSS * LANES;
// Vectors along a side of the workgroup's tile.
const TILE_ROWS: u32 = DOWN * {row_vectors}u;
const TILE_COLUMNS: u32 = ACROSS * {column_vectors}u;

// A step of the depth or a column of the product: what it adds to the place in the right factor.
struct Place {
    y: i32,
    x: i32,
    // Share of the index that is not the position's.
    right: u32,
    // Of a step, its place in the left factor.
    left: u32,
}

// Of no position on the map.
const NOWHERE: i32 = -1073741824;
// The tap of the bias.
const BIAS: u32 = 0xffffffffu;

var<workgroup> columns: array<Place, 4u * TILE_COLUMNS>;
var<workgroup> steps: array<Place, SLAB>;
// [SLAB][vectors of four rows or columns]
var<workgroup> left_slab: array<vec4<f32>, SLAB * TILE_ROWS>;
var<workgroup> right_slab: array<vec4<f32>, SLAB * TILE_COLUMNS>;

fn in_channels() -> u32 {
    return CHANNELS / GROUPS;
}

fn out_channels() -> u32 {
    return OUT_CHANNELS / GROUPS;
}

fn fan_in() -> u32 {
    return SIZE_Y * SIZE_X * in_channels();
}

fn depth() -> u32 {
    switch PRODUCT {
        case WEIGHT_GRADIENT: { return OUT_HEIGHT * OUT_WIDTH * product.rows; }
        case INPUT_GRADIENT: { return SIZE_Y * SIZE_X * out_channels(); }
        default: { return fan_in(); }
    }
}

// Tap `index` of the window over the input.
fn tap(index: u32, group: u32) -> Place {
    if index >= fan_in() {
        return Place(NOWHERE, NOWHERE, select(0u, BIAS, index == fan_in()), 0u);
    }
    let pixel = index / in_channels();
    let channel = group * in_channels() + index % in_channels();
    return Place(
        i32(pixel / SIZE_X),
        i32(pixel % SIZE_X),
        channel * product.right.row_stride,
        index,
    );
}

// Where the window of (position, row) `index` of the sums begins.
fn window(index: u32, end: u32) -> Place {
    if index >= end {
        return Place(NOWHERE, NOWHERE, 0u, 0u);
    }
    let position = index / product.rows;
    let row = index % product.rows;
    return Place(
        i32(position / OUT_WIDTH * STRIDE_Y) - i32(BEFORE_Y),
        i32(position % OUT_WIDTH * STRIDE_X) - i32(BEFORE_X),
        row,
        position * OUT_CHANNELS * product.rows + row,
    );
}

// Output channel of the group under one pixel of the window, back from the place in the input.
fn source(index: u32, group: u32) -> Place {
    if index >= depth() {
        return Place(NOWHERE, NOWHERE, 0u, 0u);
    }
    let pixel = index / out_channels();
    let channel = index % out_channels();
    return Place(
        -i32(pixel / SIZE_X),
        -i32(pixel % SIZE_X),
        (group * out_channels() + channel) * product.right.row_stride,
        channel * fan_in() + pixel * in_channels(),
    );
}

// (Place, row) `index` of the input.
fn target_of(index: u32) -> Place {
    let position = index / product.rows;
    if position >= HEIGHT * WIDTH {
        return Place(NOWHERE, NOWHERE, 0u, 0u);
    }
    return Place(
        i32(position / WIDTH + BEFORE_Y),
        i32(position % WIDTH + BEFORE_X),
        index % product.rows,
        0u,
    );
}

fn column_of(index: u32, group: u32) -> Place {
    switch PRODUCT {
        case WEIGHT_GRADIENT: { return tap(index, group); }
        case INPUT_GRADIENT: { return target_of(index); }
        default: { return window(index, OUT_HEIGHT * OUT_WIDTH * product.rows); }
    }
}

fn step_of(index: u32, end: u32, group: u32) -> Place {
    switch PRODUCT {
        case WEIGHT_GRADIENT: { return window(index, end); }
        case INPUT_GRADIENT: { return source(index, group); }
        default: { return tap(index, group); }
    }
}

fn product_rows() -> u32 {
    return select(out_channels(), in_channels(), PRODUCT == INPUT_GRADIENT);
}

// Where the left factor of particle and group begins, and how far apart its rows are.
fn left_start(batch: u32, group: u32) -> u32 {
    let row_stride = select(fan_in(), product.rows, PRODUCT == WEIGHT_GRADIENT);
    return product.left.offset + batch * product.left.batch + group * out_channels() * row_stride;
}

fn left_stride() -> u32 {
    switch PRODUCT {
        case WEIGHT_GRADIENT: { return product.rows; }
        case INPUT_GRADIENT: { return 1u; }
        default: { return fan_in(); }
    }
}

fn left_value(start: u32, row: u32, step: Place, inside: bool) -> f32 {
    if row >= product_rows() || !inside {
        return 0.0;
    }
    return left[start + step.left + row * left_stride()];
}

fn right_value(start: u32, step: Place, column: Place) -> f32 {
    if PRODUCT == WEIGHT_GRADIENT && column.right == BIAS {
        return 1.0;
    }
    var y = step.y + column.y;
    var x = step.x + column.x;
    if y < 0 || x < 0 {
        return 0.0;
    }
    var height = HEIGHT;
    var width = WIDTH;
    var channels = CHANNELS;
    if PRODUCT == INPUT_GRADIENT {
        if u32(y) % STRIDE_Y != 0u || u32(x) % STRIDE_X != 0u {
            return 0.0;
        }
        y = i32(u32(y) / STRIDE_Y);
        x = i32(u32(x) / STRIDE_X);
        height = OUT_HEIGHT;
        width = OUT_WIDTH;
        channels = OUT_CHANNELS;
    }
    if u32(y) >= height || u32(x) >= width {
        return 0.0;
    }
    let position = u32(y) * width + u32(x);
    return right[start + position * channels * product.right.row_stride + step.right + column.right];
}

// Loads a slab of both factors, neighbouring threads along the direction that lies together in memory.
fn load(thread: u32, batch: u32, group: u32, corner: vec2<u32>, count: u32) {
    let of_left = left_start(batch, group);
    for (var index = thread; index < SLAB * TILE_ROWS; index += THREADS) {
        var step = index % SLAB;
        var vector = index / SLAB;
        if PRODUCT == INPUT_GRADIENT {
            step = index / TILE_ROWS;
            vector = index % TILE_ROWS;
        }
        let row = corner.y + 4u * vector;
        let place = steps[step];
        let inside = step < count;
        left_slab[step * TILE_ROWS + vector] = vec4<f32>(
            left_value(of_left, row, place, inside),
            left_value(of_left, row + 1u, place, inside),
            left_value(of_left, row + 2u, place, inside),
            left_value(of_left, row + 3u, place, inside),
        );
    }
    let of_right = product.right.offset + batch * product.right.batch;
    for (var index = thread; index < SLAB * TILE_COLUMNS; index += THREADS) {
        var step = index / TILE_COLUMNS;
        var vector = index % TILE_COLUMNS;
        if PRODUCT == WEIGHT_GRADIENT {
            step = index % SLAB;
            vector = index / SLAB;
        }
        let place = steps[step];
        right_slab[step * TILE_COLUMNS + vector] = vec4<f32>(
            right_value(of_right, place, columns[4u * vector]),
            right_value(of_right, place, columns[4u * vector + 1u]),
            right_value(of_right, place, columns[4u * vector + 2u]),
            right_value(of_right, place, columns[4u * vector + 3u]),
        );
    }
}

// Tiles that a group's rows are cut into.
fn row_tiles() -> u32 {
    return (product_rows() + 4u * TILE_ROWS - 1u) / (4u * TILE_ROWS);
}

// `sums` is the share of the depth that was summed, the group with its tile, and the particle.
fn finish(value: f32, sums: vec3<u32>, row: u32, column: u32) {
    let group = sums.y / row_tiles();
    if row >= product_rows() {
        return;
    }
    if PRODUCT == WEIGHT_GRADIENT {
        if column <= fan_in() {
            let share = sums.z * product.shares * LANES + sums.x;
            let channel = group * out_channels() + row;
            out[(share * OUT_CHANNELS + channel) * (fan_in() + 1u) + column] = value;
        }
        return;
    }
    let channels = select(OUT_CHANNELS, CHANNELS, PRODUCT == INPUT_GRADIENT);
    let positions = select(OUT_HEIGHT * OUT_WIDTH, HEIGHT * WIDTH, PRODUCT == INPUT_GRADIENT);
    let position = column / product.rows;
    if position >= positions {
        return;
    }
    let channel = group * product_rows() + row;
    let index = product.out.offset + sums.z * product.out.batch
        + (position * channels + channel) * product.out.row_stride + column % product.rows;
    var result = value;
    if PRODUCT == SUMS {
        result += left[product.biases + sums.z * product.left.batch + channel];
        if SKIP {
            result += other[index];
        }
        out[index] = activate(result);
        return;
    }
    if ACCUMULATE {
        result += out[index];
    }
    if DERIVATIVE {
        result *= slope_at_value(other[index]);
    }
    out[index] = result;
}

fn finish_vector(values: vec4<f32>, sums: vec3<u32>, row: u32, column: u32) {
    finish(values.x, sums, row, column);
    finish(values.y, sums, row, column + 1u);
    finish(values.z, sums, row, column + 2u);
    finish(values.w, sums, row, column + 3u);
}

@compute @workgroup_size(THREADS)
fn convolve(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let group = id.y / row_tiles();
    let share = id.x % product.shares;
    let corner = 4u * vec2<u32>(
        id.x / product.shares * TILE_COLUMNS,
        id.y % row_tiles() * TILE_ROWS,
    );
    let end = min((share + 1u) * product.share, depth());
    for (var column = thread; column < 4u * TILE_COLUMNS; column += THREADS) {
        columns[column] = column_of(corner.x + column, group);
    }
    // This thread's first vectors within the tile; further ones lie ACROSS or DOWN vectors on.
    let across = thread % ACROSS;
    let down = thread / ACROSS % DOWN;
    let lane = thread / (ACROSS * DOWN);
    let workgroup = vec3<u32>(share * LANES + lane, id.y, id.z);
    {zero}
    for (var start = share * product.share; start < end; start += SLAB) {
        if thread < SLAB {
            steps[thread] = step_of(start + thread, end, group);
        }
        workgroupBarrier();
        load(thread, id.z, group, corner, end - start);
        workgroupBarrier();
        for (var step = lane; step < SLAB; step += LANES) {
            {read}
            {add}
        }
    }
    {write}
}
