// gradient[bias o] = Σ over rows of delta[o, row]: one workgroup for an output of a particle.

struct Sums {
    rows: u32,
    outputs: u32,
    // The first bias of particle n is at offset + n · stride.
    offset: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> sums: Sums;
@group(0) @binding(1) var<storage, read> delta: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

override ACCUMULATE: bool = false;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn sum_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let start = (group.y * sums.outputs + group.x) * sums.rows;
    var sum = 0.0;
    for (var row = thread; row < sums.rows; row += 64u) {
        sum += delta[start + row];
    }
    partial[thread] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if thread < half {
            partial[thread] += partial[thread + half];
        }
        workgroupBarrier();
    }
    if thread == 0u {
        let index = sums.offset + group.y * sums.stride + group.x;
        if ACCUMULATE {
            gradient[index] += partial[0];
        } else {
            gradient[index] = partial[0];
        }
    }
}
