// The gradient that a block passes on to an earlier one whose output it adds.

@group(0) @binding(0) var<uniform> len: vec4<u32>;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> destination: array<f32>;

// Whether others add it too, and have done so.
override ACCUMULATE: bool = false;

@compute @workgroup_size(256)
fn add(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    for (var index = id.x; index < len.x; index += 256u * groups.x) {
        if ACCUMULATE {
            destination[index] += source[index];
        } else {
            destination[index] = source[index];
        }
    }
}
