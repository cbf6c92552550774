//! The checks that make every later step of the runtime total.

use crate::artifact::{
    Activation, Artifact, CodeSource, Dense, Factors, Layer, Members, Normalisation, Output,
    Rescale, Shifts, Trunk,
};
use crate::error::{DecodeError, Field};
use crate::geometry::{Block, Geometry, Pool, Shape, Skip, Window};
use crate::limits::{
    MAX_BIAS_SHIFT, MAX_INVERSE_TEMPERATURE, MAX_LATENT_DIM, MAX_LAYERS, MAX_LEFT_SHIFT, MAX_MAP,
    MAX_MODULATIONS, MAX_OUTPUT_UNIT, MAX_RANK, MAX_SAMPLES, MAX_SHIFT, MAX_TARGET, MAX_WIDTH,
};
use crate::packing::Bits;
use crate::views::{F32s, I16s};

type Checked = Result<(), DecodeError>;

/// Checks shapes, ranges and lengths.
pub(crate) fn validate(artifact: &Artifact<'_>) -> Checked {
    if artifact.geometry.is_some() && artifact.maps().is_none() {
        return Err(DecodeError::UnknownFlags { found: crate::container::GEOMETRY });
    }
    let file = Place { layer: None };
    let features = file.features(artifact)?;
    file.normalisation(&artifact.inputs.normalisation, features)?;

    file.within("number of layers", artifact.layers.len(), 1, MAX_LAYERS)?;
    match artifact.maps() {
        None => {
            let last = artifact.layers.len() - 1;
            let mut width = features;
            for (index, layer) in artifact.layers.iter().enumerate() {
                Place { layer: Some(index as u8) }.layer(layer, width, 1, index == last)?;
                width = usize::from(layer.mean.outputs);
            }
        }
        Some(geometry) => file.geometry(artifact, geometry)?,
    }
    let width = artifact.outputs();
    let activation = artifact.layers.last().map(|layer| layer.activation);
    file.output(&artifact.output, width, matches!(activation, Some(Activation::Value(_))))?;
    file.codes(artifact)?;
    let (expected, found) = (artifact.required_scratch(), artifact.scratch_len as usize);
    if expected == found { Ok(()) } else { Err(DecodeError::ScratchLen { expected, found }) }
}

/// Where the fields under check lie.
#[derive(Clone, Copy)]
struct Place {
    layer: Option<u8>,
}

impl Place {
    /// Checks the number of names; returns that of the normalisation's features.
    fn features(self, artifact: &Artifact<'_>) -> Result<usize, DecodeError> {
        let names = artifact.inputs.names;
        let Some(geometry) = artifact.maps() else {
            // A lone feature may go without a name.
            let features = names.len().max(1);
            self.within("number of features", features, 1, MAX_WIDTH)?;
            return Ok(features);
        };
        self.map(geometry.input)?;
        let channels = geometry.input.channels.into();
        if !names.is_empty() {
            self.length("channel names", names.len(), channels)?;
        }
        Ok(channels)
    }

    /// Layers that read and write maps.
    fn geometry(self, artifact: &Artifact<'_>, geometry: &Geometry<'_>) -> Checked {
        let layers = artifact.layers.as_slice();
        if !geometry.layers.are_whole() {
            return Err(DecodeError::Malformed);
        }
        self.length("blocks", geometry.layers.len(), layers.len())?;
        let mut outputs: heapless::Vec<Shape, MAX_LAYERS> = heapless::Vec::new();
        let mut input = geometry.input;
        for (index, (layer, block)) in layers.iter().zip(geometry.layers.iter()).enumerate() {
            let place = Self { layer: Some(index as u8) };
            let last = index + 1 == layers.len();
            if last && block != Block::default() {
                return place.block("block", "neither window, skip nor pooling on the last layer");
            }
            let mut map = Shape { height: 1, width: 1, channels: layer.mean.outputs };
            let (mut width, mut groups) = (input.len(), 1);
            if let Some(window) = &block.window {
                map = place.window(window, input, layer)?;
                groups = window.groups.into();
                width = window.values(input.channels) / groups;
            }
            if layer.factors.members().is_some() {
                return place.block("factors", "no members of a mixture beside maps");
            }
            place.layer(layer, width, groups, last)?;
            if let Some(skip) = &block.skip {
                place.skip(skip, &outputs, map)?;
            }
            input = match &block.pool {
                None => map,
                Some(_) if block.window.is_none() => {
                    return place.block("pooling", "none of a dense layer");
                }
                Some(pool) => place.pool(pool, map)?,
            };
            if !last {
                place.map(input)?;
            }
            // There is one a layer.
            let _ = outputs.push(input);
        }
        Ok(())
    }

    /// The map of a convolution before pooling.
    fn window(
        self,
        window: &Window,
        input: Shape,
        layer: &Layer<'_>,
    ) -> Result<Shape, DecodeError> {
        let size = (window.height, window.width);
        let beside = |side: u8, size: u8| {
            self.within("padding", side.into(), 0, usize::from(size).saturating_sub(1))
        };
        for (size, stride, sides) in [
            (size.0, window.stride.0, [window.padding.top, window.padding.bottom]),
            (size.1, window.stride.1, [window.padding.left, window.padding.right]),
        ] {
            self.within("size of the window", size.into(), 1, u8::MAX.into())?;
            self.within("stride", stride.into(), 1, u8::MAX.into())?;
            sides.into_iter().try_for_each(|side| beside(side, size))?;
        }
        let (groups, outputs) = (window.groups, layer.mean.outputs);
        self.within("groups", groups.into(), 1, u16::MAX.into())?;
        if !input.channels.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return self.block("groups", "a divisor of the channels of input and output");
        }
        if matches!(layer.factors, Factors::Dense(_)) {
            return self.block("factors", "low-rank ones, or none, of a convolution");
        }
        if groups > 1 && layer.factors.modulations() > 0 {
            return self.block("factors", "none of a convolution with groups");
        }
        if groups > 1 && layer.mean.bits != Bits::Eight {
            return self.block("mean weights", "int8 in a convolution with groups");
        }
        self.within("values of the window", window.values(input.channels), 1, MAX_MAP)?;
        let field = self.field("window");
        window.map(input, outputs).ok_or(DecodeError::DoesNotFit { field, map: input })
    }

    /// The shape of a pooled map.
    fn pool(self, pool: &Pool, map: Shape) -> Result<Shape, DecodeError> {
        for (size, stride) in [(pool.height, pool.stride.0), (pool.width, pool.stride.1)] {
            self.within("size of the pooling window", size.into(), 1, u16::MAX.into())?;
            self.within("stride of the pooling", stride.into(), 1, u16::MAX.into())?;
        }
        self.within("area of the pooling window", pool.area(), 1, MAX_MAP)?;
        let field = self.field("pooling window");
        pool.output(map).ok_or(DecodeError::DoesNotFit { field, map })
    }

    fn skip(self, skip: &Skip<'_>, earlier: &[Shape], map: Shape) -> Checked {
        let Some(&found) = earlier.get(usize::from(skip.layer)) else {
            return self.block("layer of the skip", "an earlier one");
        };
        if found != map {
            let field = self.field("skip");
            return Err(DecodeError::WrongShape { field, expected: map, found });
        }
        self.halves("skip multiplier", skip.multiplier, map.channels.into(), i16::MIN)?;
        self.within("skip shift", skip.shift.into(), 0, MAX_SHIFT)
    }

    /// A map that is kept in memory.
    fn map(self, map: Shape) -> Checked {
        self.within("values of the map", map.len(), 1, MAX_MAP)
    }

    /// Refuses what does not go together.
    fn block<T>(self, name: &'static str, expected: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::WrongBlock { field: self.field(name), expected })
    }

    fn normalisation(self, normalisation: &Normalisation<'_>, features: usize) -> Checked {
        match *normalisation {
            Normalisation::Float { mean, scale } => {
                self.floats("input mean", mean, features, |_| true, "")?;
                self.floats("input scale", scale, features, |s| s > 0.0, "above 0")
            }
            Normalisation::Whole { multiplier, offset, offset_shift, shift, .. } => {
                self.halves("input multiplier", multiplier, features, 0)?;
                self.halves("input offset", offset, features, i16::MIN)?;
                self.within("input offset shift", offset_shift.into(), 0, MAX_BIAS_SHIFT)?;
                self.within("input shift", shift.into(), 0, MAX_SHIFT)
            }
        }
    }

    fn layer(self, layer: &Layer<'_>, width: usize, groups: usize, last: bool) -> Checked {
        self.dense(&MEAN, &layer.mean, width, groups)?;
        let outputs = usize::from(layer.mean.outputs);
        match &layer.factors {
            Factors::LowRank(factors) => {
                self.projection(&factors.projection, width, factors.shifts)?;
                let rank = usize::from(factors.projection.outputs);
                self.within("rank", rank, 1, MAX_RANK)?;
                let bytes = Bits::Eight.len(rank, outputs);
                self.length("low-rank factor A", factors.a.len(), bytes)?;
                self.sum_shift(factors.shifts, -(MAX_LEFT_SHIFT as i32))?;
            }
            Factors::Dense(factors) => {
                self.projection(&factors.projection, width, factors.shifts)?;
                self.sum_shift(factors.shifts, 0)?;
                let count = usize::from(factors.count);
                self.within("number of dense factors", count, 1, MAX_RANK)?;
                let found = usize::from(factors.projection.outputs);
                self.length("outputs of the dense factors", found, count * outputs)?;
            }
            _ => {}
        }
        if let Some(members) = layer.factors.members() {
            self.members(members, layer)?;
        }
        match &layer.activation {
            Activation::Tanh(rescale) | Activation::Relu(rescale) | Activation::Linear(rescale)
                if !last =>
            {
                self.rescale(&ACTIVATION, rescale, outputs)
            }
            Activation::HardSwish(swish) if !last => {
                self.rescale(&ACTIVATION, &swish.rescale, outputs)?;
                self.within(SWISH.before, swish.before.into(), 0, MAX_SHIFT)?;
                self.halves(SWISH.multiplier, I16s::new(&swish.multiplier.to_le_bytes()), 1, 0)?;
                self.within(SWISH.after, swish.after.into(), 1, MAX_SHIFT)
            }
            Activation::Logits(rescale) if last => self.rescale(&LOGIT, rescale, outputs),
            Activation::Value(unit) if last => {
                self.up_to("output unit", *unit, MAX_OUTPUT_UNIT, "above 0, at most 1")
            }
            _ => Err(DecodeError::WrongActivation { layer: self.layer.unwrap_or(0) }),
        }
    }

    /// The weights of a mixture's other members.
    fn members(self, members: &Members<'_>, layer: &Layer<'_>) -> Checked {
        let others = usize::from(members.others);
        self.within("members besides the first", others, 1, MAX_LATENT_DIM - 1)?;
        let Dense { inputs, outputs, bits, .. } = layer.mean;
        let bytes = others * bits.len(inputs.into(), outputs.into());
        self.length("members' weights", members.weights.len(), bytes)?;
        let rows = others * usize::from(outputs);
        self.halves("members' biases", members.bias, rows, i16::MIN)?;
        let scaled = if layer.activation.rescale().is_some() { rows } else { 0 };
        self.halves("members' multipliers", members.multiplier, scaled, 0)
    }

    /// Every code of a mixture names members that there are.
    fn named_members(self, artifact: &Artifact<'_>) -> Checked {
        let codes = artifact.codes.stored.as_slice();
        let mut place = 0;
        for (index, layer) in artifact.layers.iter().enumerate() {
            if let Some(members) = layer.factors.members() {
                if artifact.trunk.is_some() {
                    return self.block("trunk", "none beside the members of a mixture");
                }
                let named = codes.iter().skip(place).step_by(artifact.modulations().max(1));
                let (min, max) = (0, i32::from(members.others));
                for found in named.map(|&member| i32::from(member)) {
                    if !(min..=max).contains(&found) {
                        let field = Self { layer: Some(index as u8) }.field("stored member");
                        return Err(DecodeError::OutOfRange { field, min, max, found });
                    }
                }
            }
            place += layer.factors.modulations();
        }
        Ok(())
    }

    fn projection(self, projection: &Dense<'_>, width: usize, shifts: Shifts) -> Checked {
        self.dense(&PROJECTION, projection, width, 1)?;
        self.within("projection shift", shifts.projection.into(), 0, MAX_SHIFT)?;
        self.within("modulation shift", shifts.modulation.into(), 1, MAX_SHIFT)
    }

    fn sum_shift(self, shifts: Shifts, min: i32) -> Checked {
        let (found, max) = (i32::from(shifts.sum), MAX_SHIFT as i32);
        if (min..=max).contains(&found) {
            return Ok(());
        }
        Err(DecodeError::OutOfRange { field: self.field("sum shift"), min, max, found })
    }

    fn output(self, output: &Output<'_>, width: usize, is_value: bool) -> Checked {
        if is_value != matches!(output, Output::Regression { .. }) {
            return Err(DecodeError::WrongOutput);
        }
        match *output {
            Output::Classification {
                classes,
                inverse_temperature,
                set_threshold,
                coverage,
                epistemic_threshold,
                ..
            } => {
                self.length("class names", classes.len(), width)?;
                let most = MAX_INVERSE_TEMPERATURE as usize;
                self.within("inverse temperature", inverse_temperature as usize, 1, most)?;
                self.float("set threshold", set_threshold, |_| true, "")?;
                self.share("coverage", coverage)?;
                self.float("epistemic threshold", epistemic_threshold, |_| true, "")
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
                self.length("network outputs", width, 1)?;
                let in_range = |mean: f32| (-MAX_TARGET..=MAX_TARGET).contains(&mean);
                self.float("target mean", mean, in_range, "-1e18 to 1e18")?;
                self.up_to("target std", std, MAX_TARGET, "above 0, at most 1e18")?;
                self.float("noise variance", noise_variance, |v| v >= 0.0, "at least 0")?;
                self.float("interval", interval, |i| i > 0.0, "above 0")?;
                self.share("coverage", coverage)?;
                self.float("epistemic threshold", epistemic_threshold, |_| true, "")
            }
        }
    }

    fn codes(self, artifact: &Artifact<'_>) -> Checked {
        let (codes, modulations) = (&artifact.codes, artifact.modulations());
        self.within("number of modulations", modulations, 0, MAX_MODULATIONS)?;
        let latent_dim = usize::from(codes.latent_dim);
        self.within("latent dimension", latent_dim, 1, MAX_LATENT_DIM)?;
        self.within("number of samples", codes.samples.into(), 1, MAX_SAMPLES)?;
        let whole = artifact.stored_codes() * modulations;
        self.length("stored codes", codes.stored.len(), whole)?;
        match &artifact.trunk {
            Some(trunk) => self.trunk(trunk, latent_dim, modulations)?,
            None if codes.source != CodeSource::Stored => return Err(DecodeError::NoTrunk),
            None => {}
        }
        let (expected, found) = (usize::from(codes.samples), artifact.stored_codes());
        if codes.source == CodeSource::Stored && modulations > 0 && found < expected {
            return Err(DecodeError::TooFewCodes { expected, found });
        }
        if cfg!(feature = "mixtures") { self.named_members(artifact) } else { Ok(()) }
    }

    fn trunk(self, trunk: &Trunk<'_>, latent_dim: usize, modulations: usize) -> Checked {
        let width = usize::from(trunk.hidden.outputs);
        self.dense(&TRUNK_HIDDEN, &trunk.hidden, latent_dim, 1)?;
        self.dense(&TRUNK_OUTPUT, &trunk.output, width, 1)?;
        self.length("trunk outputs", usize::from(trunk.output.outputs), modulations)?;
        self.rescale(&TRUNK_HIDDEN_RESCALE, &trunk.hidden_rescale, width)?;
        self.rescale(&TRUNK_OUTPUT_RESCALE, &trunk.output_rescale, modulations)
    }

    fn dense(
        self,
        names: &DenseNames,
        dense: &Dense<'_>,
        expected: usize,
        groups: usize,
    ) -> Checked {
        let (inputs, outputs) = (usize::from(dense.inputs), usize::from(dense.outputs));
        if inputs != expected {
            let field = self.field(names.matrix);
            return Err(DecodeError::ShapeMismatch { field, expected, found: inputs });
        }
        self.within(names.inputs, inputs, 1, MAX_WIDTH)?;
        self.within(names.outputs, outputs, 0, MAX_WIDTH)?;
        let bytes = if groups == 1 { dense.bits.len(inputs, outputs) } else { inputs * outputs };
        self.length(names.matrix, dense.weights.len(), bytes)?;
        self.halves(names.bias, dense.bias, outputs, i16::MIN)?;
        self.within(names.bias_shift, dense.bias_shift.into(), 0, MAX_BIAS_SHIFT)
    }

    fn rescale(self, names: &RescaleNames, rescale: &Rescale<'_>, outputs: usize) -> Checked {
        self.within(names.before, rescale.before.into(), 0, MAX_SHIFT)?;
        self.halves(names.multiplier, rescale.multiplier, outputs, 0)?;
        self.within(names.after, rescale.after.into(), 1, MAX_SHIFT)
    }

    fn halves(self, name: &'static str, values: I16s<'_>, expected: usize, min: i16) -> Checked {
        self.whole(name, values.bytes().len(), I16s::ELEMENT)?;
        self.length(name, values.len(), expected)?;
        match values.iter().find(|&value| value < min) {
            Some(found) => {
                let (min, max, found) = (min.into(), i16::MAX.into(), found.into());
                Err(DecodeError::OutOfRange { field: self.field(name), min, max, found })
            }
            None => Ok(()),
        }
    }

    fn floats(
        self,
        name: &'static str,
        values: F32s<'_>,
        expected: usize,
        in_range: impl Fn(f32) -> bool,
        range: &'static str,
    ) -> Checked {
        self.whole(name, values.bytes().len(), F32s::ELEMENT)?;
        self.length(name, values.len(), expected)?;
        let field = self.field(name);
        for (index, value) in values.iter().enumerate() {
            if !value.is_finite() {
                return Err(DecodeError::NotFinite { field, index });
            }
            if !in_range(value) {
                return Err(DecodeError::FloatOutOfRange { field, index, expected: range });
            }
        }
        Ok(())
    }

    fn float(
        self,
        name: &'static str,
        value: f32,
        in_range: impl Fn(f32) -> bool,
        range: &'static str,
    ) -> Checked {
        self.floats(name, F32s::new(&value.to_le_bytes()), 1, in_range, range)
    }

    fn up_to(self, name: &'static str, value: f32, max: f32, range: &'static str) -> Checked {
        self.float(name, value, |value| value > 0.0 && value <= max, range)
    }

    fn share(self, name: &'static str, value: f32) -> Checked {
        self.float(name, value, |value| value > 0.0 && value < 1.0, "between 0 and 1")
    }

    fn within(self, name: &'static str, found: usize, min: usize, max: usize) -> Checked {
        if (min..=max).contains(&found) {
            return Ok(());
        }
        let int = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
        let (field, min, max) = (self.field(name), int(min), int(max));
        Err(DecodeError::OutOfRange { field, min, max, found: int(found) })
    }

    fn length(self, name: &'static str, found: usize, expected: usize) -> Checked {
        if found == expected {
            Ok(())
        } else {
            Err(DecodeError::WrongLength { field: self.field(name), expected, found })
        }
    }

    fn whole(self, name: &'static str, bytes: usize, element: usize) -> Checked {
        if bytes.is_multiple_of(element) {
            Ok(())
        } else {
            Err(DecodeError::PartialElement { field: self.field(name), bytes, element })
        }
    }

    const fn field(self, name: &'static str) -> Field {
        Field { name, layer: self.layer }
    }
}

/// What the errors call the parts of an integer matrix.
struct DenseNames {
    matrix: &'static str,
    bias: &'static str,
    bias_shift: &'static str,
    inputs: &'static str,
    outputs: &'static str,
}

static MEAN: DenseNames = DenseNames {
    matrix: "mean weights",
    bias: "mean bias",
    bias_shift: "shift of the mean bias",
    inputs: "number of inputs",
    outputs: "number of outputs",
};
static PROJECTION: DenseNames = DenseNames {
    matrix: "projection weights",
    bias: "projection bias",
    bias_shift: "shift of the projection bias",
    inputs: "number of projection inputs",
    outputs: "number of projection outputs",
};
static TRUNK_HIDDEN: DenseNames = DenseNames {
    matrix: "trunk hidden weights",
    bias: "trunk hidden bias",
    bias_shift: "shift of the trunk hidden bias",
    inputs: "number of trunk inputs",
    outputs: "trunk width",
};
static TRUNK_OUTPUT: DenseNames = DenseNames {
    matrix: "trunk output weights",
    bias: "trunk output bias",
    bias_shift: "shift of the trunk output bias",
    inputs: "trunk width",
    outputs: "number of trunk outputs",
};

/// What the errors call the parts of a fixed-point scaling.
struct RescaleNames {
    before: &'static str,
    multiplier: &'static str,
    after: &'static str,
}

static ACTIVATION: RescaleNames = RescaleNames {
    before: "shift before the activation multiplier",
    multiplier: "activation multiplier",
    after: "shift after the activation multiplier",
};
static LOGIT: RescaleNames = RescaleNames {
    before: "shift before the logit multiplier",
    multiplier: "logit multiplier",
    after: "shift after the logit multiplier",
};
static SWISH: RescaleNames = RescaleNames {
    before: "shift before the hard-swish multiplier",
    multiplier: "hard-swish multiplier",
    after: "shift after the hard-swish multiplier",
};
static TRUNK_HIDDEN_RESCALE: RescaleNames = RescaleNames {
    before: "shift before the trunk hidden multiplier",
    multiplier: "trunk hidden multiplier",
    after: "shift after the trunk hidden multiplier",
};
static TRUNK_OUTPUT_RESCALE: RescaleNames = RescaleNames {
    before: "shift before the trunk output multiplier",
    multiplier: "trunk output multiplier",
    after: "shift after the trunk output multiplier",
};
