// One step of Adam (Kingma & Ba 2015) for every parameter of every particle, down the gradient of
// L(θ) − dᵀθ: prior, drift and control variate are added to the likelihood's gradient here.

@group(0) @binding(0) var<uniform> step: Step;
// Number of parameters P of a particle.
@group(0) @binding(1) var<uniform> shape: vec4<u32>;
// [particles, P]
@group(0) @binding(2) var<storage, read_write> theta: array<f32>;
// First and second moments, [particles, P].
@group(0) @binding(3) var<storage, read_write> moments: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> gradient: array<f32>;
@group(0) @binding(5) var<storage, read> drift: array<f32>;
// Prior precisions, [P]; negative ones mark parameters that stay where they are.
@group(0) @binding(6) var<storage, read> prior: array<f32>;
// Gradients at the particles' starts, [starts, P]: of this mini-batch, and of all rows.
@group(0) @binding(7) var<storage, read> of_batch: array<f32>;
@group(0) @binding(8) var<storage, read> of_all: array<f32>;
// Where each particle started.
@group(0) @binding(9) var<storage, read> starts: array<u32>;

// Whether `prior`, `drift` and the control variate apply.
override PRIOR: bool = false;
override DRIFT: bool = false;
override CONTROL: bool = false;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

@compute @workgroup_size(256)
fn adam(@builtin(global_invocation_id) id: vec3<u32>) {
    let parameter = id.x;
    let parameters = shape.x;
    if parameter >= parameters {
        return;
    }
    let index = id.y * parameters + parameter;
    var value = theta[index];
    var slope = gradient[index];
    if CONTROL {
        let start = starts[id.y] * parameters + parameter;
        slope = step.scale * (slope - of_batch[start]) + of_all[start];
    } else {
        slope *= step.scale;
    }
    if PRIOR {
        slope += prior[parameter] * value;
    }
    if DRIFT {
        slope -= drift[index];
    }
    if PRIOR && prior[parameter] < 0.0 {
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
