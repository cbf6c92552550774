// Outputs of decoded networks at probes, in the units that functions are compared in, and the
// gradients of what is asked of them.

struct Functions {
    rows: u32,
    classes: u32,
    draws: u32,
    // The first rows, whose predictive is matched.
    matched: u32,
    // Where the probes' scales, the particles' predictive, and the functions to reconstruct lie.
    scale: u32,
    reference: u32,
    targets: u32,
    // Weight of the divergence of predictives, or of the squared error of a reconstruction.
    weight: f32,
    // σ² of a Gaussian likelihood.
    noise: f32,
    // Of the matched rows the first, `near` the training rows, weigh 1, the others `foreign`, all together `weights`.
    near: u32,
    foreign: f32,
    weights: f32,
}

@group(0) @binding(0) var<uniform> shape: Functions;
// What was drawn for the step.
@group(0) @binding(1) var<storage, read> drawn: array<f32>;
// The networks' outputs, which become their gradient; like the next two [draws][classes, rows].
@group(0) @binding(2) var<storage, read_write> outputs: array<f32>;
@group(0) @binding(3) var<storage, read_write> functions: array<f32>;
// Gradient of the energy score, with respect to functions and then to outputs.
@group(0) @binding(4) var<storage, read_write> slopes: array<f32>;
// Gradient with respect to the mean probabilities, [classes, rows].
@group(0) @binding(5) var<storage, read_write> mixture: array<f32>;

const SMALLEST_PROBABILITY: f32 = 1e-12;

fn start(row: u32, draw: u32) -> u32 {
    return draw * shape.classes * shape.rows + row;
}

// Of a row whose predictive is matched.
fn weight(row: u32) -> f32 {
    return select(shape.foreign, 1.0, row < shape.near);
}

// functions = (outputs − mean over classes) / scale
@compute @workgroup_size(64)
fn standardise(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= shape.rows {
        return;
    }
    let first = start(id.x, id.y);
    let end = first + shape.classes * shape.rows;
    var mean = 0.0;
    if shape.classes > 1u {
        for (var at = first; at < end; at += shape.rows) {
            mean += outputs[at] / f32(shape.classes);
        }
    }
    for (var at = first; at < end; at += shape.rows) {
        functions[at] = (outputs[at] - mean) / drawn[shape.scale + id.x];
    }
}

// From the gradient with respect to functions to that with respect to outputs, in `slopes`.
fn through_standardise(row: u32, draw: u32) {
    let first = start(row, draw);
    let end = first + shape.classes * shape.rows;
    var mean = 0.0;
    for (var at = first; at < end; at += shape.rows) {
        slopes[at] /= drawn[shape.scale + row];
        mean += slopes[at] / f32(shape.classes);
    }
    if shape.classes > 1u {
        for (var at = first; at < end; at += shape.rows) {
            slopes[at] -= mean;
        }
    }
}

// outputs = gradient of weight / 2 · ‖functions − targets‖²
@compute @workgroup_size(64)
fn reconstruction(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= shape.rows {
        return;
    }
    let first = start(id.x, id.y);
    let end = first + shape.classes * shape.rows;
    for (var at = first; at < end; at += shape.rows) {
        slopes[at] = shape.weight * (functions[at] - drawn[shape.targets + at]);
    }
    through_standardise(id.x, id.y);
    for (var at = first; at < end; at += shape.rows) {
        outputs[at] = slopes[at];
    }
}

// outputs = slopes + gradient of weight · (expected −log p̄(y), y drawn from the particles' predictive),
// p̄ = mean over draws of softmax(f): one thread a row.
@compute @workgroup_size(64)
fn categorical(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= shape.rows {
        return;
    }
    let share = 1.0 / f32(shape.draws);
    for (var label = 0u; label < shape.classes; label++) {
        mixture[label * shape.rows + row] = 0.0;
    }
    for (var draw = 0u; draw < shape.draws; draw++) {
        through_standardise(row, draw);
        let first = start(row, draw);
        let end = first + shape.classes * shape.rows;
        var largest = outputs[first];
        for (var at = first; at < end; at += shape.rows) {
            largest = max(largest, outputs[at]);
        }
        var sum = 0.0;
        for (var at = first; at < end; at += shape.rows) {
            outputs[at] = exp(outputs[at] - largest);
            sum += outputs[at];
        }
        var place = row;
        for (var at = first; at < end; at += shape.rows) {
            outputs[at] /= sum;
            mixture[place] += share * outputs[at];
            place += shape.rows;
        }
    }
    for (var label = 0u; label < shape.classes; label++) {
        let at = label * shape.rows + row;
        var slope = 0.0;
        if row < shape.matched {
            let expected = drawn[shape.reference + row * shape.classes + label];
            slope = -weight(row) * expected / (max(mixture[at], SMALLEST_PROBABILITY) * shape.weights);
        }
        mixture[at] = slope;
    }
    for (var draw = 0u; draw < shape.draws; draw++) {
        let first = start(row, draw);
        let end = first + shape.classes * shape.rows;
        var inner = 0.0;
        var place = row;
        for (var at = first; at < end; at += shape.rows) {
            inner += outputs[at] * mixture[place];
            place += shape.rows;
        }
        place = row;
        for (var at = first; at < end; at += shape.rows) {
            let slope = outputs[at] * share * (mixture[place] - inner);
            outputs[at] = slopes[at] + shape.weight * slope;
            place += shape.rows;
        }
    }
}

// As `categorical`, of the normal with the draws' moments and the noise against that of the particles'.
@compute @workgroup_size(64)
fn gaussian(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= shape.rows {
        return;
    }
    let count = f32(shape.draws);
    var mean = 0.0;
    for (var draw = 0u; draw < shape.draws; draw++) {
        through_standardise(row, draw);
        mean += outputs[start(row, draw)];
    }
    mean /= count;
    var squares = 0.0;
    for (var draw = 0u; draw < shape.draws; draw++) {
        let deviation = outputs[start(row, draw)] - mean;
        squares += deviation * deviation;
    }
    let freedom = max(count - 1.0, 1.0);
    let total = squares / freedom + shape.noise;
    var d_mean = 0.0;
    var d_total = 0.0;
    if row < shape.matched {
        let expected = drawn[shape.reference + row];
        let variance = drawn[shape.reference + shape.matched + row];
        let error = (expected - mean) * (expected - mean) + variance + shape.noise;
        d_mean = weight(row) * (mean - expected) / (total * count * shape.weights);
        d_total = weight(row) * 0.5 * (1.0 - error / total) / (total * shape.weights);
    }
    for (var draw = 0u; draw < shape.draws; draw++) {
        let at = start(row, draw);
        let slope = d_mean + d_total * 2.0 * (outputs[at] - mean) / freedom;
        outputs[at] = slopes[at] + shape.weight * slope;
    }
}
