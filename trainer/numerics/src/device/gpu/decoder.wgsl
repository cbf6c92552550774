// One layer of the latent decoder, θ_m = θ(z_m) for m draws, and its derivative. W̃ = [W b] acts on the
// input with a 1 appended:
//
//   low-rank: W̃ + A diag(s) B̃, A [outputs, rank], B̃ [rank, inputs + 1] (frozen: rank 0)
//   dense:    W̃ + Σ_j s_j Ũ_j, Ũ_j [outputs, inputs + 1]

struct Layer {
    outputs: u32,
    inputs: u32,
    // First parameter of the layer in θ and in the decoder.
    layer: u32,
    // First factor in the decoder: A, then B̃; or Ũ.
    factors: u32,
    // First modulation of the layer.
    modulation: u32,
    // Rank, or number of matrices Ũ.
    rank: u32,
    draws: u32,
    // Parameters P of a network.
    parameters: u32,
}

@group(0) @binding(0) var<uniform> layer: Layer;
@group(0) @binding(1) var<storage, read> decoder: array<f32>;
// s, [modulations, draws]
@group(0) @binding(2) var<storage, read> modulations: array<f32>;
// θ_m, or the gradient with respect to it, [draws, P].
@group(0) @binding(3) var<storage, read_write> theta: array<f32>;
// dW_m Bᵀ without the bias's share, [draws, outputs, rank].
@group(0) @binding(4) var<storage, read> through_b: array<f32>;
// Aᵀ dW_m without the bias, [draws, rank, inputs].
@group(0) @binding(5) var<storage, read> through_a: array<f32>;
// With respect to the decoder's parameters.
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;
// With respect to s, [modulations, draws].
@group(0) @binding(7) var<storage, read_write> d_modulations: array<f32>;

// Whether gradients are added to what is there.
override ACCUMULATE: bool = false;

fn add(index: u32, value: f32) {
    if ACCUMULATE {
        gradient[index] += value;
    } else {
        gradient[index] = value;
    }
}

// Place in θ of value `index` of W̃, row-major [outputs, inputs + 1].
fn place(index: u32) -> u32 {
    let output = index / (layer.inputs + 1u);
    let input = index % (layer.inputs + 1u);
    let bias = layer.outputs * layer.inputs + output;
    return layer.layer + select(output * layer.inputs + input, bias, input == layer.inputs);
}

fn modulation(rank: u32, draw: u32) -> f32 {
    return modulations[(layer.modulation + rank) * layer.draws + draw];
}

fn a(output: u32, rank: u32) -> f32 {
    return decoder[layer.factors + output * layer.rank + rank];
}

fn b_index(rank: u32, input: u32) -> u32 {
    return layer.factors + layer.outputs * layer.rank + rank * (layer.inputs + 1u) + input;
}

fn d_bias(draw: u32, output: u32) -> f32 {
    return theta[draw * layer.parameters + layer.layer + layer.outputs * layer.inputs + output];
}

// dW̃_m B̃ᵀ, the bias's share included.
fn along_b(draw: u32, output: u32, rank: u32) -> f32 {
    let product = through_b[(draw * layer.outputs + output) * layer.rank + rank];
    return product + d_bias(draw, output) * decoder[b_index(rank, layer.inputs)];
}

@compute @workgroup_size(64)
fn decode_low_rank(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.outputs * (layer.inputs + 1u) {
        return;
    }
    let output = id.x / (layer.inputs + 1u);
    let input = id.x % (layer.inputs + 1u);
    let index = place(id.x);
    var value = decoder[index];
    for (var rank = 0u; rank < layer.rank; rank++) {
        value += a(output, rank) * modulation(rank, id.y) * decoder[b_index(rank, input)];
    }
    theta[id.y * layer.parameters + index] = value;
}

@compute @workgroup_size(64)
fn decode_dense(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = layer.outputs * (layer.inputs + 1u);
    if id.x >= size {
        return;
    }
    let index = place(id.x);
    var value = decoder[index];
    for (var rank = 0u; rank < layer.rank; rank++) {
        value += modulation(rank, id.y) * decoder[layer.factors + rank * size + id.x];
    }
    theta[id.y * layer.parameters + index] = value;
}

// W̃ of all layers: Σ_m dθ_m.
@compute @workgroup_size(64)
fn pull_mean(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.parameters {
        return;
    }
    var sum = 0.0;
    for (var draw = 0u; draw < layer.draws; draw++) {
        sum += theta[draw * layer.parameters + id.x];
    }
    add(id.x, sum);
}

@compute @workgroup_size(64)
fn pull_a(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.outputs * layer.rank {
        return;
    }
    let output = id.x / layer.rank;
    let rank = id.x % layer.rank;
    var sum = 0.0;
    for (var draw = 0u; draw < layer.draws; draw++) {
        sum += modulation(rank, draw) * along_b(draw, output, rank);
    }
    add(layer.factors + id.x, sum);
}

@compute @workgroup_size(64)
fn pull_b(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.rank * (layer.inputs + 1u) {
        return;
    }
    let rank = id.x / (layer.inputs + 1u);
    let input = id.x % (layer.inputs + 1u);
    var sum = 0.0;
    for (var draw = 0u; draw < layer.draws; draw++) {
        var along_a = 0.0;
        if input < layer.inputs {
            along_a = through_a[(draw * layer.rank + rank) * layer.inputs + input];
        } else {
            for (var output = 0u; output < layer.outputs; output++) {
                along_a += a(output, rank) * d_bias(draw, output);
            }
        }
        sum += modulation(rank, draw) * along_a;
    }
    add(b_index(rank, input), sum);
}

@compute @workgroup_size(64)
fn pull_low_rank_modulation(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= layer.rank * layer.draws {
        return;
    }
    let rank = id.x / layer.draws;
    let draw = id.x % layer.draws;
    var sum = 0.0;
    for (var output = 0u; output < layer.outputs; output++) {
        sum += a(output, rank) * along_b(draw, output, rank);
    }
    d_modulations[(layer.modulation + rank) * layer.draws + draw] = sum;
}

@compute @workgroup_size(64)
fn pull_dense(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = layer.outputs * (layer.inputs + 1u);
    if id.x >= size {
        return;
    }
    let index = place(id.x);
    var sum = 0.0;
    for (var draw = 0u; draw < layer.draws; draw++) {
        sum += modulation(id.y, draw) * theta[draw * layer.parameters + index];
    }
    add(layer.factors + id.y * size + id.x, sum);
}

var<workgroup> partial: array<f32, 64>;

// One workgroup for modulation y of draw x.
@compute @workgroup_size(64)
fn pull_dense_modulation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let size = layer.outputs * (layer.inputs + 1u);
    var sum = 0.0;
    for (var index = thread; index < size; index += 64u) {
        let d_theta = theta[group.x * layer.parameters + place(index)];
        sum += d_theta * decoder[layer.factors + group.y * size + index];
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
        d_modulations[(layer.modulation + group.y) * layer.draws + group.x] = partial[0];
    }
}
