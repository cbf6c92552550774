//! The checks that make every later step of the runtime total.

use crate::artifact::{Activation, Artifact, Dense, Factors, Output, Rescale, Shifts, Trunk};
use crate::error::DecodeError;
use crate::limits::{MAX_BIAS, MAX_LATENT_DIM, MAX_MODULATIONS, MAX_RANK, MAX_WIDTH};
use crate::views::F32s;

/// Checks shapes, ranges and lengths.
pub(crate) fn validate(artifact: &Artifact<'_>) -> Result<(), DecodeError> {
    let features = artifact.inputs.names.len();
    within(features <= MAX_WIDTH, "number of features")?;
    floats("input mean", artifact.inputs.mean, features)?;
    floats("input scale", artifact.inputs.scale, features)?;

    within(!artifact.layers.is_empty(), "number of layers")?;
    let last = artifact.layers.len() - 1;
    let mut width = features;
    for (index, layer) in artifact.layers.iter().enumerate() {
        dense(&layer.mean)?;
        chain(index, width, &layer.mean)?;
        let outputs = usize::from(layer.mean.outputs);
        match &layer.factors {
            Factors::Frozen => {}
            Factors::LowRank(factors) => {
                projection(index, &factors.projection, width, factors.shifts)?;
                let rank = usize::from(factors.projection.outputs);
                within(rank <= MAX_RANK, "rank")?;
                length("low-rank factor A", factors.a.len(), rank * outputs)?;
            }
            Factors::Dense(factors) => {
                projection(index, &factors.projection, width, factors.shifts)?;
                let count = usize::from(factors.count);
                within((1..=MAX_RANK).contains(&count), "number of dense factors")?;
                let found = usize::from(factors.projection.outputs);
                length("dense factors", found, count * outputs)?;
            }
        }
        match &layer.activation {
            Activation::Tanh(scale) | Activation::Relu(scale) if index < last => {
                rescale(scale, outputs)?;
            }
            Activation::Identity(scale) if index == last => {
                floats("output scale", *scale, outputs)?;
            }
            _ => return Err(DecodeError::WrongActivation { layer: index }),
        }
        width = outputs;
    }
    output(&artifact.output, width)?;
    codes(artifact)?;
    let expected = artifact.required_scratch();
    length("scratch", artifact.scratch_len as usize, expected)
}

fn codes(artifact: &Artifact<'_>) -> Result<(), DecodeError> {
    let (codes, modulations) = (&artifact.codes, artifact.modulations());
    within(modulations <= MAX_MODULATIONS, "number of modulations")?;
    let latent_dim = usize::from(codes.latent_dim);
    within((1..=MAX_LATENT_DIM).contains(&latent_dim), "latent dimension")?;
    within(codes.samples > 0, "number of samples")?;
    within(codes.stored.is_whole(), "stored codes")?;
    let whole = artifact.stored_codes() * modulations;
    length("stored codes", codes.stored.len(), whole)?;
    match &artifact.trunk {
        Some(trunk) => check_trunk(trunk, latent_dim, modulations)?,
        None => within(codes.source == crate::CodeSource::Stored, "code source without a trunk")?,
    }
    let stored_suffice = artifact.stored_codes() >= usize::from(codes.samples);
    let uses_stored = codes.source == crate::CodeSource::Stored && modulations > 0;
    within(stored_suffice || !uses_stored, "number of stored codes")
}

fn check_trunk(
    trunk: &Trunk<'_>,
    latent_dim: usize,
    modulations: usize,
) -> Result<(), DecodeError> {
    dense(&trunk.hidden)?;
    dense(&trunk.output)?;
    length("trunk inputs", usize::from(trunk.hidden.inputs), latent_dim)?;
    length("trunk hidden", usize::from(trunk.output.inputs), usize::from(trunk.hidden.outputs))?;
    length("trunk outputs", usize::from(trunk.output.outputs), modulations)?;
    rescale(&trunk.hidden_rescale, usize::from(trunk.hidden.outputs))?;
    rescale(&trunk.output_rescale, modulations)
}

fn output(output: &Output<'_>, width: usize) -> Result<(), DecodeError> {
    match *output {
        Output::Classification {
            classes,
            inverse_temperature,
            set_threshold,
            coverage,
            epistemic_threshold,
            ..
        } => {
            length("classes", classes.len(), width)?;
            positive("inverse temperature", inverse_temperature)?;
            finite("set threshold", set_threshold)?;
            finite("epistemic threshold", epistemic_threshold)?;
            share("coverage", coverage)
        }
        Output::Regression {
            mean,
            std,
            noise_variance,
            interval,
            coverage,
            epistemic_threshold,
            ..
        } => {
            length("outputs", width, 1)?;
            finite("target mean", mean)?;
            positive("target std", std)?;
            positive("noise variance", noise_variance)?;
            positive("interval", interval)?;
            finite("epistemic threshold", epistemic_threshold)?;
            share("coverage", coverage)
        }
    }
}

fn dense(dense: &Dense<'_>) -> Result<(), DecodeError> {
    let (inputs, outputs) = (usize::from(dense.inputs), usize::from(dense.outputs));
    within((1..=MAX_WIDTH).contains(&inputs), "layer width")?;
    within(outputs <= MAX_WIDTH, "layer width")?;
    length("weights", dense.weights.len(), inputs * outputs)?;
    within(dense.weights.is_whole() && dense.bias.is_whole(), "weights or bias")?;
    length("bias", dense.bias.len(), outputs)?;
    within(dense.bias.iter().all(|bias| (-MAX_BIAS..=MAX_BIAS).contains(&bias)), "bias")
}

fn projection(
    layer: usize,
    projection: &Dense<'_>,
    width: usize,
    shifts: Shifts,
) -> Result<(), DecodeError> {
    dense(projection)?;
    chain(layer, width, projection)?;
    within(projection.outputs > 0, "rank")?;
    let all = [shifts.projection, shifts.modulation, shifts.sum];
    within(all.iter().all(|&shift| shift <= 31), "shift")
}

fn rescale(rescale: &Rescale<'_>, outputs: usize) -> Result<(), DecodeError> {
    within(rescale.multiplier.is_whole(), "multiplier")?;
    length("multiplier", rescale.multiplier.len(), outputs)?;
    within(rescale.multiplier.iter().all(|multiplier| multiplier >= 0), "multiplier")?;
    within((1..=62).contains(&rescale.shift), "rescale shift")
}

fn chain(layer: usize, expected: usize, dense: &Dense<'_>) -> Result<(), DecodeError> {
    let found = usize::from(dense.inputs);
    if found == expected {
        Ok(())
    } else {
        Err(DecodeError::ShapeMismatch { layer, expected, found })
    }
}

fn floats(field: &'static str, values: F32s<'_>, expected: usize) -> Result<(), DecodeError> {
    within(values.is_whole(), field)?;
    length(field, values.len(), expected)?;
    values.iter().try_for_each(|value| finite(field, value))
}

fn length(field: &'static str, found: usize, expected: usize) -> Result<(), DecodeError> {
    if found == expected {
        Ok(())
    } else {
        Err(DecodeError::WrongLength { field, expected, found })
    }
}

fn within(holds: bool, field: &'static str) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError::OutOfRange { field }) }
}

fn finite(field: &'static str, value: f32) -> Result<(), DecodeError> {
    if value.is_finite() { Ok(()) } else { Err(DecodeError::NotFinite { field }) }
}

fn positive(field: &'static str, value: f32) -> Result<(), DecodeError> {
    finite(field, value)?;
    within(value > 0.0, field)
}

fn share(field: &'static str, value: f32) -> Result<(), DecodeError> {
    finite(field, value)?;
    within(value > 0.0 && value < 1.0, field)
}
