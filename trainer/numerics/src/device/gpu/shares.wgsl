// The gradient of a convolution's weights and biases from its shares, `[count][shares][outputs, fan-in + 1]`:
// one thread a parameter of a particle, the shares in order.

struct Shares {
    shares: u32,
    outputs: u32,
    inputs: u32,
    // The first weight of particle n is at offset + n · stride.
    offset: u32,
    stride: u32,
    // Uniforms are whole multiples of 16 bytes.
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

@group(0) @binding(0) var<uniform> sums: Shares;
@group(0) @binding(1) var<storage, read> shares: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

override ACCUMULATE: bool = false;

@compute @workgroup_size(64)
fn sum_shares(@builtin(global_invocation_id) id: vec3<u32>) {
    let size = sums.outputs * (sums.inputs + 1u);
    if id.x >= size {
        return;
    }
    let start = id.y * sums.shares * size + id.x;
    var sum = 0.0;
    for (var share = 0u; share < sums.shares; share++) {
        sum += shares[start + share * size];
    }
    let output = id.x / (sums.inputs + 1u);
    let input = id.x % (sums.inputs + 1u);
    let bias = sums.outputs * sums.inputs + output;
    let index = sums.offset + id.y * sums.stride
        + select(output * sums.inputs + input, bias, input == sums.inputs);
    if ACCUMULATE {
        gradient[index] += sum;
    } else {
        gradient[index] = sum;
    }
}
