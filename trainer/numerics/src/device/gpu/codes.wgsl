// Codes of the few particles that are encoded and decoded again.

struct Codes {
    // Dimension k of a code.
    dimension: u32,
    // Particles N, and how many of them are decoded again.
    particles: u32,
    chosen: u32,
    // Where their indices lie, as floats.
    indices: u32,
    // Weight λ of the energy distance of all codes to N(0, I).
    weight: f32,
}

@group(0) @binding(0) var<uniform> shape: Codes;
// What was drawn for the step.
@group(0) @binding(1) var<storage, read> drawn: array<f32>;
// The codes of all particles, which become their gradient, [k, N].
@group(0) @binding(2) var<storage, read_write> codes: array<f32>;
// Those of the chosen ones, [k, chosen], and later their gradient.
@group(0) @binding(3) var<storage, read_write> chosen_codes: array<f32>;
// Gradient of the energy distance, [k, N].
@group(0) @binding(4) var<storage, read> distance_gradient: array<f32>;

fn particle(column: u32) -> u32 {
    return u32(drawn[shape.indices + column]);
}

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= shape.dimension * shape.chosen {
        return;
    }
    let axis = id.x / shape.chosen;
    chosen_codes[id.x] = codes[axis * shape.particles + particle(id.x % shape.chosen)];
}

@compute @workgroup_size(64)
fn join_gradients(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= shape.dimension * shape.particles {
        return;
    }
    let axis = id.x / shape.particles;
    var slope = shape.weight * distance_gradient[id.x];
    for (var column = 0u; column < shape.chosen; column++) {
        if particle(column) == id.x % shape.particles {
            slope += chosen_codes[axis * shape.chosen + column];
        }
    }
    codes[id.x] = slope;
}
