// Gradient of the energy score of draws D against particles W with respect to every draw,
//
//   ES = E‖f_D(x) − f_W(x)‖ − ½ E‖f_D(x) − f_D'(x)‖, D ≠ D'
//
// averaged over inputs x: one thread an input and draw.

struct Energy {
    rows: u32,
    classes: u32,
    draws: u32,
    particles: u32,
    // Values from one draw, and from one class, to the next.
    draw_stride: u32,
    class_stride: u32,
    // Those of the particles, and where the first one starts.
    particle_stride: u32,
    particle_class_stride: u32,
    particle_offset: u32,
    to_particles: f32,
    between_draws: f32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> energy: Energy;
@group(0) @binding(1) var<storage, read> draws: array<f32>;
@group(0) @binding(2) var<storage, read> particles: array<f32>;
// In the layout of the draws.
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

// Keeps the norm differentiable where two draws coincide.
const SMOOTHING: f32 = 1e-10;

@compute @workgroup_size(64)
fn energy_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= energy.rows {
        return;
    }
    let own = id.y * energy.draw_stride + id.x;
    let end = own + energy.classes * energy.class_stride;
    for (var at = own; at < end; at += energy.class_stride) {
        gradient[at] = 0.0;
    }
    for (var particle = 0u; particle < energy.particles; particle++) {
        let first = energy.particle_offset + particle * energy.particle_stride + id.x;
        var square = SMOOTHING;
        var other = first;
        for (var at = own; at < end; at += energy.class_stride) {
            let difference = draws[at] - particles[other];
            square += difference * difference;
            other += energy.particle_class_stride;
        }
        let weight = energy.to_particles / sqrt(square);
        other = first;
        for (var at = own; at < end; at += energy.class_stride) {
            gradient[at] += weight * (draws[at] - particles[other]);
            other += energy.particle_class_stride;
        }
    }
    for (var draw = 0u; draw < energy.draws; draw++) {
        if draw == id.y {
            continue;
        }
        // From this draw's values to the other's; wraps where the other comes first.
        let shift = (draw - id.y) * energy.draw_stride;
        var square = SMOOTHING;
        for (var at = own; at < end; at += energy.class_stride) {
            let difference = draws[at] - draws[at + shift];
            square += difference * difference;
        }
        let weight = energy.between_draws / sqrt(square);
        for (var at = own; at < end; at += energy.class_stride) {
            gradient[at] += weight * (draws[at] - draws[at + shift]);
        }
    }
}
