// A whole step of a particle in one workgroup: forward and backward passes over all rows of the
// mini-batch, a tile of rows after another, and Adam (Kingma & Ba 2015) at the end.
//
// Weights and a tile's activations live in workgroup memory. A layer's input has a row of ones under
// it, so that its biases are one more column of its weights; a layer's deltas replace its activations.
// Every thread sums the same few weights' gradients over all tiles, in registers. Sums run in a fixed
// order.
//
// What is in braces is written by `fused.rs` for the network, the functions of its layers from
// `fused_layer.wgsl`.

struct MiniBatch {
    rows: u32,
    // 1 / σ² of a Gaussian likelihood.
    inverse_variance: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> mini_batch: MiniBatch;
// [particles, PARAMETERS]
@group(0) @binding(2) var<storage, read_write> theta: array<f32>;
// First and second moments, [particles, PARAMETERS].
@group(0) @binding(3) var<storage, read_write> moments: array<vec2<f32>>;
// For every tile: the inputs as workgroup memory holds them, then a vector of targets for every four
// rows, class labels as floats.
@group(0) @binding(4) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> drift: array<f32>;
// Prior precisions, [PARAMETERS].
@group(0) @binding(6) var<storage, read> prior: array<f32>;
// Gradients at the particles' starts, of this mini-batch and of all rows, [starts, PARAMETERS].
@group(0) @binding(7) var<storage, read> control: array<vec2<f32>>;
// Where each particle started.
@group(0) @binding(8) var<storage, read> starts: array<u32>;

// Whether `drift` and `control` apply.
override DRIFT: bool = false;
override CONTROL: bool = false;
// Whether the likelihood is categorical, else Gaussian.
override CATEGORICAL: bool = false;
// Whether the activation is tanh, else ReLU.
override TANH: bool = false;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

const THREADS: u32 = {threads}u;
const PARAMETERS: u32 = {parameters}u;
// A tile's rows in vectors of four.
const QUADS: u32 = {quads}u;
// Vectors of a tile in `rows`, and those before its targets.
const TILE: u32 = {tile}u;
const TILE_INPUTS: u32 = {tile_inputs}u;
// Where the outputs begin in `memory`, and their number.
const OUTPUTS: u32 = {outputs}u;
const CLASSES: u32 = {classes}u;
// Vectors of activations, and of activations and weights.
const ACTIVATIONS: u32 = {activations}u;
const MEMORY: u32 = {memory}u;

// The activations of each layer from the inputs on, [width + 1, QUADS], rows in vectors of four; then
// the weights of each layer, [outputs, inputs + 1], inputs in vectors of four. What pads them is zero.
var<workgroup> memory: array<vec4<f32>, MEMORY>;

// The built-in tanh may overflow, and is as exact as the driver likes.
fn activate(x: vec4<f32>) -> vec4<f32> {
    if TANH {
        return 1.0 - 2.0 / (exp(2.0 * clamp(x, vec4<f32>(-40.0), vec4<f32>(40.0))) + 1.0);
    }
    return max(x, vec4<f32>(0.0));
}

// `delta` times the derivative at an activation.
fn through_activation(delta: vec4<f32>, activation: vec4<f32>) -> vec4<f32> {
    if TANH {
        return delta * (1.0 - activation * activation);
    }
    return select(vec4<f32>(0.0), delta, activation > vec4<f32>(0.0));
}

// Zeros between and below the activations, and the rows of ones; those of the inputs come with them.
fn prepare(thread: u32) {
    for (var index = thread; index < ACTIVATIONS; index += THREADS) {
        memory[index] = vec4<f32>(0.0);
    }
    workgroupBarrier();
    for (var quad = thread; quad < QUADS; quad += THREADS) {
        {ones}
    }
}

fn load_inputs(thread: u32, tile: u32) {
    for (var index = thread; index < TILE_INPUTS; index += THREADS) {
        memory[index] = rows[tile * TILE + index];
    }
}

// softmax(f) − onehot(y) of four rows
fn cross_entropy(quad: u32, labels: vec4<f32>, exists: vec4<bool>) {
    var largest = memory[OUTPUTS + quad];
    for (var label = 1u; label < CLASSES; label++) {
        largest = max(largest, memory[OUTPUTS + label * QUADS + quad]);
    }
    var sum = vec4<f32>(0.0);
    for (var label = 0u; label < CLASSES; label++) {
        let index = OUTPUTS + label * QUADS + quad;
        let power = exp(memory[index] - largest);
        memory[index] = power;
        sum += power;
    }
    for (var label = 0u; label < CLASSES; label++) {
        let index = OUTPUTS + label * QUADS + quad;
        let own = select(vec4<f32>(0.0), vec4<f32>(1.0), labels == vec4<f32>(f32(label)));
        memory[index] = select(vec4<f32>(0.0), memory[index] / sum - own, exists);
    }
}

// Replaces the outputs by the gradient of −log p(y | f), zero for rows that do not exist: one thread
// four rows.
fn likelihood(thread: u32, tile: u32) {
    for (var quad = thread; quad < QUADS; quad += THREADS) {
        let first = 4u * (tile * QUADS + quad);
        let exists = first + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(mini_batch.rows);
        let own = rows[tile * TILE + TILE_INPUTS + quad];
        if CATEGORICAL {
            cross_entropy(quad, own, exists);
        } else {
            // (f − y) / σ²
            let slope = (memory[OUTPUTS + quad] - own) * mini_batch.inverse_variance;
            memory[OUTPUTS + quad] = select(vec4<f32>(0.0), slope, exists);
        }
    }
}

// A step down the gradient of L(θ) − dᵀθ, of which the likelihood's share is given.
fn adam(particle: u32, parameter: u32, gradient: f32) {
    let index = particle * PARAMETERS + parameter;
    let value = theta[index];
    var slope = step.scale * gradient;
    if CONTROL {
        let at_start = control[starts[particle] * PARAMETERS + parameter];
        slope = step.scale * (gradient - at_start.x) + at_start.y;
    }
    slope += prior[parameter] * value;
    if DRIFT {
        slope -= drift[index];
    }
    if prior[parameter] < 0.0 {
        slope = 0.0;
    }
    let old = moments[index];
    let moment = vec2<f32>(
        BETA1 * old.x + (1.0 - BETA1) * slope,
        BETA2 * old.y + (1.0 - BETA2) * slope * slope,
    );
    moments[index] = moment;
    theta[index] = value - step.rate * moment.x / (sqrt(moment.y * step.correction) + EPSILON);
}

{layers}
@compute @workgroup_size({threads})
fn descend(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    prepare(thread);
    {load_weights}
    let tiles = (mini_batch.rows + 4u * QUADS - 1u) / (4u * QUADS);
    for (var tile = 0u; tile < tiles; tile++) {
        // The last tile's gradients have been summed.
        workgroupBarrier();
        load_inputs(thread, tile);
        workgroupBarrier();
        // The last tile may be shorter.
        let quads = min(QUADS, (mini_batch.rows + 3u) / 4u - tile * QUADS);
        {forward}
        likelihood(thread, tile);
        workgroupBarrier();
        {backward}
    }
    {adam}
}
