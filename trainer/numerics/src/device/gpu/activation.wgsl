// Activations, and their slopes in terms of their value or of the sum before them.

override ACTIVATION: u32 = 0u;
const TANH: u32 = 1u;
const RELU: u32 = 2u;
const RELU6: u32 = 3u;
const HARD_SWISH: u32 = 4u;

// The built-in tanh may overflow, and is as exact as the driver likes.
fn hyperbolic_tangent(x: f32) -> f32 {
    return 1.0 - 2.0 / (exp(2.0 * clamp(x, -40.0, 40.0)) + 1.0);
}

fn activate(sum: f32) -> f32 {
    switch ACTIVATION {
        case TANH: { return hyperbolic_tangent(sum); }
        case RELU: { return max(sum, 0.0); }
        case RELU6: { return clamp(sum, 0.0, 6.0); }
        case HARD_SWISH: { return sum * (clamp(sum + 3.0, 0.0, 6.0) / 6.0); }
        default: { return sum; }
    }
}

// Hard swish has none: its value does not tell.
fn slope_at_value(value: f32) -> f32 {
    switch ACTIVATION {
        case TANH: { return 1.0 - value * value; }
        case RELU: { return select(0.0, 1.0, value > 0.0); }
        case RELU6: { return select(0.0, 1.0, value > 0.0 && value < 6.0); }
        default: { return 1.0; }
    }
}

fn slope_at_sum(sum: f32) -> f32 {
    switch ACTIVATION {
        case HARD_SWISH: {
            let slope = select(1.0, sum / 3.0 + 0.5, sum < 3.0);
            return select(0.0, slope, sum > -3.0);
        }
        default: { return slope_at_value(activate(sum)); }
    }
}
