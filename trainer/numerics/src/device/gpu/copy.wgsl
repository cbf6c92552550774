// Copies what belongs to the step under way from where all steps of a submission lie.

struct Copy {
    len: u32,
    // Values from one step's data to the next one's; 0 where all steps share them.
    stride: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> copy: Copy;
@group(0) @binding(2) var<storage, read> source: array<f32>;
@group(0) @binding(3) var<storage, read_write> destination: array<f32>;

@compute @workgroup_size(256)
fn copy_step(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < copy.len {
        destination[id.x] = source[step.slot * copy.stride + id.x];
    }
}
