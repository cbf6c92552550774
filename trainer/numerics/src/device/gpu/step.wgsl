struct Step {
    // Index within the submission.
    slot: u32,
    // Learning rate over the bias of the first moment.
    rate: f32,
    // Inverse of the bias of the second moment.
    correction: f32,
    // All rows over those of the mini-batch.
    scale: f32,
}

