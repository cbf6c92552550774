// Activation and pooling of the sums of a block, forward and backward. All maps are
// `[count][values, rows]`, a map's values channels-last. A block that does not pool has windows of one value.

struct Rows {
    rows: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

@group(0) @binding(0) var<uniform> shape: Rows;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
// The pooled map, or the gradient with respect to it.
@group(0) @binding(2) var<storage, read_write> pooled: array<f32>;
// Which value of every window is the largest.
@group(0) @binding(3) var<storage, read_write> largest: array<u32>;
// Gradient with respect to the sums.
@group(0) @binding(4) var<storage, read_write> d_sums: array<f32>;

override HEIGHT: u32 = 1u;
override WIDTH: u32 = 1u;
override CHANNELS: u32 = 1u;
override POOLED_HEIGHT: u32 = 1u;
override POOLED_WIDTH: u32 = 1u;
override SIZE_Y: u32 = 1u;
override SIZE_X: u32 = 1u;
override STRIDE_Y: u32 = 1u;
override STRIDE_X: u32 = 1u;
// The largest value of a window rather than the mean.
override MAX: bool = false;
// Whether the largest is taken before the activation.
override POOLS_FIRST: bool = false;

const THREADS: u32 = 256u;

@compute @workgroup_size(THREADS)
fn pool(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let count = POOLED_HEIGHT * POOLED_WIDTH * CHANNELS * shape.rows;
    let base = id.y * HEIGHT * WIDTH * CHANNELS * shape.rows;
    let step = CHANNELS * shape.rows;
    for (var index = id.x; index < count; index += THREADS * groups.x) {
        let position = index / step;
        let corner = position / POOLED_WIDTH * STRIDE_Y * WIDTH + position % POOLED_WIDTH * STRIDE_X;
        let start = base + corner * step + index % step;
        var result = 0.0;
        var place = 0u;
        for (var y = 0u; y < SIZE_Y; y++) {
            for (var x = 0u; x < SIZE_X; x++) {
                let sum = sums[start + (y * WIDTH + x) * step];
                if !MAX {
                    result += activate(sum) / f32(SIZE_Y * SIZE_X);
                    continue;
                }
                var value = sum;
                if !POOLS_FIRST {
                    value = activate(sum);
                }
                // What is no number stays: a descent that diverges must show.
                if (x == 0u && y == 0u) || !(value <= result) {
                    result = value;
                    place = y * SIZE_X + x;
                }
            }
        }
        if MAX {
            largest[id.y * count + index] = place;
            if POOLS_FIRST {
                result = activate(result);
            }
        }
        pooled[id.y * count + index] = result;
    }
}

// First window that covers place `at`.
fn first(at: u32, size: u32, stride: u32) -> u32 {
    return select(0u, (at - size) / stride + 1u, at >= size);
}

// d_sums from the gradient with respect to the pooled map: that of a window's largest value is all its own.
@compute @workgroup_size(THREADS)
fn pull_back(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let step = CHANNELS * shape.rows;
    let count = HEIGHT * WIDTH * step;
    let base = id.y * POOLED_HEIGHT * POOLED_WIDTH * step;
    for (var index = id.x; index < count; index += THREADS * groups.x) {
        let y = index / step / WIDTH;
        let x = index / step % WIDTH;
        let last_y = min(y / STRIDE_Y, POOLED_HEIGHT - 1u);
        let last_x = min(x / STRIDE_X, POOLED_WIDTH - 1u);
        var delta = 0.0;
        for (var top = first(y, SIZE_Y, STRIDE_Y); top <= last_y; top++) {
            for (var side = first(x, SIZE_X, STRIDE_X); side <= last_x; side++) {
                let window = base + (top * POOLED_WIDTH + side) * step + index % step;
                if !MAX {
                    delta += pooled[window] / f32(SIZE_Y * SIZE_X);
                } else if largest[window] == (y - top * STRIDE_Y) * SIZE_X + x - side * STRIDE_X {
                    delta += pooled[window];
                }
            }
        }
        d_sums[id.y * count + index] = delta * slope_at_sum(sums[id.y * count + index]);
    }
}
