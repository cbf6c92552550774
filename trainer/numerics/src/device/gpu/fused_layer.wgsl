// Layer {layer}: {inputs} -> {outputs}.

// Its gradients that this thread sums.
{gradients}

// The last input is the row of ones, whose weights are the biases.
fn parameter_{layer}(output: u32, input: u32) -> u32 {
    let bias = {outputs}u * {inputs}u + output;
    return {offset}u + select(output * {inputs}u + input, bias, input == {inputs}u);
}

fn weight_{layer}(particle: u32, output: u32, input: u32) -> f32 {
    if input > {inputs}u {
        return 0.0;
    }
    return theta[particle * PARAMETERS + parameter_{layer}(output, input)];
}

// Its weights and biases become rows of {stride} vectors.
fn load_weights_{layer}(particle: u32, thread: u32) {
    for (var index = thread; index < {outputs}u * {stride}u; index += THREADS) {
        let output = index / {stride}u;
        let input = 4u * (index % {stride}u);
        memory[{weights}u + index] = vec4<f32>(
            weight_{layer}(particle, output, input),
            weight_{layer}(particle, output, input + 1u),
            weight_{layer}(particle, output, input + 2u),
            weight_{layer}(particle, output, input + 3u),
        );
    }
}

// Each turn four rows' values of {forward_size} outputs, {forward_tiles} apart. Neighbouring threads take
// neighbouring rows and share weights, or take neighbouring outputs.
fn forward_{layer}(thread: u32, quads: u32) {
    for (var tile = thread; tile < {forward_tiles}u * QUADS; tile += THREADS) {
        let quad = tile % QUADS;
        let output = tile / QUADS;
        if quad >= quads {
            continue;
        }
        {forward_zero}
        for (var step = 0u; step < {stride}u; step++) {
            let input = {input}u + 4u * step * QUADS + quad;
            let x0 = memory[input];
            let x1 = memory[input + QUADS];
            let x2 = memory[input + 2u * QUADS];
            let x3 = memory[input + 3u * QUADS];
            {forward_add}
        }
        {forward_write}
    }
}

// Adds the product of deltas and inputs to this thread's gradients.
fn sum_gradient_{layer}(thread: u32, quads: u32) {
    {gradient_sum}
}

// Replaces the inputs by their deltas: each turn four rows of four inputs.
fn backward_{layer}(thread: u32, quads: u32) {
    for (var tile = thread; tile < {stride}u * QUADS; tile += THREADS) {
        let quad = tile % QUADS;
        let vector = tile / QUADS;
        if quad >= quads {
            continue;
        }
        var sum_0 = vec4<f32>(0.0);
        var sum_1 = vec4<f32>(0.0);
        var sum_2 = vec4<f32>(0.0);
        var sum_3 = vec4<f32>(0.0);
        for (var output = 0u; output < {outputs}u; output++) {
            let delta = memory[{output}u + output * QUADS + quad];
            let weight = memory[{weights}u + output * {stride}u + vector];
            sum_0 = fma(vec4<f32>(weight.x), delta, sum_0);
            sum_1 = fma(vec4<f32>(weight.y), delta, sum_1);
            sum_2 = fma(vec4<f32>(weight.z), delta, sum_2);
            sum_3 = fma(vec4<f32>(weight.w), delta, sum_3);
        }
        finish_delta_{layer}(sum_0, 4u * vector, quad);
        finish_delta_{layer}(sum_1, 4u * vector + 1u, quad);
        finish_delta_{layer}(sum_2, 4u * vector + 2u, quad);
        finish_delta_{layer}(sum_3, 4u * vector + 3u, quad);
    }
}

// The row of ones stays.
fn finish_delta_{layer}(sum: vec4<f32>, input: u32, quad: u32) {
    if input < {inputs}u {
        let index = {input}u + input * QUADS + quad;
        memory[index] = through_activation(sum, memory[index]);
    }
}

fn adam_{layer}_weight(particle: u32, output: u32, input: u32, gradient: f32) {
    if output < {outputs}u && input <= {inputs}u {
        adam(particle, parameter_{layer}(output, input), gradient);
    }
}

// The gradients go from registers into the step.
fn adam_{layer}(particle: u32, thread: u32) {
    {adam_weights}
}
