// What is measured of particles at a checkpoint: one workgroup a particle.

struct Measure {
    rows: u32,
    classes: u32,
    // The particle of the first workgroup.
    first: u32,
    // Parameters of a particle.
    parameters: u32,
    // 1 / σ² of a Gaussian likelihood.
    inverse_variance: f32,
}

@group(0) @binding(0) var<uniform> measure: Measure;
// [particles][Σ −log p(y | f) up to a constant, Σ α θ², Σ (θ − start)²]
@group(0) @binding(1) var<storage, read_write> measured: array<f32>;
// The networks' outputs, [workgroups][classes, rows]; or their parameters, [particles, parameters].
@group(0) @binding(2) var<storage, read> values: array<f32>;
// Class labels, or values as the bits of an f32, of every row; or each particle's start.
@group(0) @binding(3) var<storage, read> own: array<u32>;
// Prior precisions, [parameters].
@group(0) @binding(4) var<storage, read> prior: array<f32>;
// [starts, parameters]
@group(0) @binding(5) var<storage, read> starts: array<f32>;

// Whether the likelihood is categorical, else Gaussian.
override CATEGORICAL: bool = false;
// Whether to add to what earlier rows gave.
override ACCUMULATE: bool = false;

const THREADS: u32 = 256u;

var<workgroup> partial: array<vec2<f32>, THREADS>;

// The sum over all threads, in a fixed order.
fn sum_of_all(thread: u32, own: vec2<f32>) -> vec2<f32> {
    partial[thread] = own;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if thread < half {
            partial[thread] += partial[thread + half];
        }
        workgroupBarrier();
    }
    return partial[0];
}

// log Σ exp f − f_y
fn cross_entropy(first: u32, row: u32) -> f32 {
    let end = first + measure.classes * measure.rows;
    var largest = values[first];
    for (var index = first; index < end; index += measure.rows) {
        largest = max(largest, values[index]);
    }
    var sum = 0.0;
    for (var index = first; index < end; index += measure.rows) {
        sum += exp(values[index] - largest);
    }
    return largest + log(sum) - values[first + own[row] * measure.rows];
}

@compute @workgroup_size(256)
fn losses(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    var sum = 0.0;
    for (var row = thread; row < measure.rows; row += THREADS) {
        let first = group.x * measure.classes * measure.rows + row;
        if CATEGORICAL {
            sum += cross_entropy(first, row);
        } else {
            let residual = values[first] - bitcast<f32>(own[row]);
            sum += 0.5 * measure.inverse_variance * residual * residual;
        }
    }
    let total = sum_of_all(thread, vec2<f32>(sum, 0.0)).x;
    if thread == 0u {
        let index = 3u * (measure.first + group.x);
        if ACCUMULATE {
            measured[index] += total;
        } else {
            measured[index] = total;
        }
    }
}

@compute @workgroup_size(256)
fn squares(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let start = own[group.x] * measure.parameters;
    var sums = vec2<f32>(0.0);
    for (var index = thread; index < measure.parameters; index += THREADS) {
        let value = values[group.x * measure.parameters + index];
        let apart = value - starts[start + index];
        sums += vec2<f32>(prior[index] * value * value, apart * apart);
    }
    let total = sum_of_all(thread, sums);
    if thread == 0u {
        measured[3u * group.x + 1u] = total.x;
        measured[3u * group.x + 2u] = total.y;
    }
}
