// Gradients of −log p(y | f) with respect to the outputs f, in their place: one thread a row.

struct Loss {
    rows: u32,
    classes: u32,
    // 1 / σ² of a Gaussian likelihood.
    inverse_variance: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> loss: Loss;
// Class labels, or values as the bits of an f32, of every row.
@group(0) @binding(1) var<storage, read> targets: array<u32>;
// [particles][classes, rows]
@group(0) @binding(2) var<storage, read_write> outputs: array<f32>;

// softmax(f) − onehot(y)
@compute @workgroup_size(64)
fn cross_entropy(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= loss.rows {
        return;
    }
    let first = id.y * loss.classes * loss.rows + id.x;
    let end = first + loss.classes * loss.rows;
    var largest = outputs[first];
    for (var index = first; index < end; index += loss.rows) {
        largest = max(largest, outputs[index]);
    }
    var sum = 0.0;
    for (var index = first; index < end; index += loss.rows) {
        let power = exp(outputs[index] - largest);
        outputs[index] = power;
        sum += power;
    }
    for (var index = first; index < end; index += loss.rows) {
        outputs[index] /= sum;
    }
    outputs[first + targets[id.x] * loss.rows] -= 1.0;
}

// (f − y) / σ²
@compute @workgroup_size(64)
fn gaussian(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= loss.rows {
        return;
    }
    let index = id.y * loss.rows + id.x;
    outputs[index] = (outputs[index] - bitcast<f32>(targets[id.x])) * loss.inverse_variance;
}
