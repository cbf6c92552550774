//! What an artifact holds. Field order is the order of the bytes.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::geometry::Geometry;
use crate::limits::{MAX_LAYERS, ZERO_POINT};
use crate::packing::Bits;
use crate::scratch::ScratchLayout;
use crate::views::{F32s, I8s, I16s, Names, U8s};

/// A quantised network with its latent posterior and calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact<'a> {
    /// Who made it.
    #[serde(borrow)]
    pub provenance: Provenance<'a>,
    /// Names and normalisation of the inputs.
    pub inputs: Inputs<'a>,
    /// Layers from the input to the output.
    pub layers: Vec<Layer<'a>, MAX_LAYERS>,
    /// Latent code → modulation; without it only stored codes can be used.
    pub trunk: Option<Trunk<'a>>,
    /// Latent codes and how to draw them.
    pub codes: Codes<'a>,
    /// From network outputs to a calibrated prediction.
    pub output: Output<'a>,
    /// Working memory that the runtime needs, 32-bit words.
    pub scratch_len: u32,
    /// The maps of a convolutional network; a network without is dense. It follows the fields above,
    /// where a flag of the header says so.
    #[serde(skip)]
    pub geometry: Option<Geometry<'a>>,
}

/// Who made the artifact, and from what seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance<'a> {
    /// Version of the trainer.
    pub fiberwalk: &'a str,
    /// Seed of the training.
    pub seed: u64,
    /// Date, if one was given.
    pub date: Option<&'a str>,
}

/// Inputs become bytes: standardised, clipped, and counted from [`ZERO_POINT`](crate::ZERO_POINT).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inputs<'a> {
    /// Feature names, `[features]`, or none of a lone feature. With a [`Geometry`] those of the channels,
    /// `[channels]`, or none.
    #[serde(borrow)]
    pub names: Names<'a>,
    /// From a feature to its byte. With a [`Geometry`], its features are the channels.
    pub normalisation: Normalisation<'a>,
}

/// From an input to q, in steps of 5/127 standard deviations; its byte is 128 + q.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Normalisation<'a> {
    /// clamp(round((x − mean) · scale), −127, 127) in f32, halves away from zero.
    Float {
        /// Mean of the training rows, original units, `[features]`.
        #[serde(borrow)]
        mean: F32s<'a>,
        /// 127 / (5 standard deviations), above 0, `[features]`.
        scale: F32s<'a>,
    },
    /// sat8((x · multiplier + (offset << offset_shift)) >> shift) of whole numbers: a sensor's raw
    /// readings.
    Whole {
        /// Type of the readings.
        reading: Reading,
        /// `[features]`, not negative.
        multiplier: I16s<'a>,
        /// `[features]`.
        offset: I16s<'a>,
        /// 0 to 14.
        offset_shift: u8,
        /// 0 to 31.
        shift: u8,
    },
}

/// Type of a raw reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// 0 to 255.
    U8,
    /// −128 to 127.
    I8,
    /// −32,768 to 32,767.
    I16,
}

/// An integer matrix and bias: acc_o = (bias_o << bias_shift) + Σ_i w_oi · x_i of bytes x,
/// in i32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dense<'a> {
    /// Width of the input; of a convolution the values that an output sees under the window.
    pub inputs: u16,
    /// Width of the output.
    pub outputs: u16,
    /// Bits of a weight.
    pub bits: Bits,
    /// `[outputs, inputs]` in the order of [`pack`](crate::pack), each plus
    /// [`Bits::offset`]. Of a convolution with groups: see
    /// [`grouped_weight`](Dense::grouped_weight).
    #[serde(borrow)]
    pub weights: U8s<'a>,
    /// `[outputs]`, in units of 2^bias_shift accumulator units; what the zero point of the input
    /// adds is taken off.
    pub bias: I16s<'a>,
    /// 0 to 14.
    pub bias_shift: u8,
}

/// Fixed-point scaling: (sat16(acc >> before) · multiplier + 2^(after − 1)) >> after, in i32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescale<'a> {
    /// 0 to 31.
    pub before: u8,
    /// `[outputs]`, not negative.
    #[serde(borrow)]
    pub multiplier: I16s<'a>,
    /// 1 to 31.
    pub after: u8,
}

/// One layer: mean weights, the decoder's factors, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer<'a> {
    /// Mean weights W̃.
    #[serde(borrow)]
    pub mean: Dense<'a>,
    /// How the latent code moves them.
    pub factors: Factors<'a>,
    /// What follows.
    pub activation: Activation<'a>,
}

/// Activation after a layer, with the scaling of its accumulators.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Activation<'a> {
    /// r = rescale(acc) in units of 1/64; the byte is 128 + round(127 tanh(r / 64)), r clamped to
    /// −256 to 255.
    Tanh(#[serde(borrow)] Rescale<'a>),
    /// The byte is clamp(rescale(acc), 0, 255).
    Relu(Rescale<'a>),
    /// Outputs of a classifier: rescale(acc) is the logit in units of ln 2 / 2^14.
    Logits(Rescale<'a>),
    /// Output of a regressor: acc · unit is the standardised target, 0 < unit ≤ 1.
    Value(f32),
    /// None: the byte is clamp(128 + rescale(acc), 0, 255).
    Linear(Rescale<'a>),
    /// x · clamp(x + 3, 0, 6) / 6.
    HardSwish(HardSwish<'a>),
}

/// r = sat16(rescale(acc)) in units of 1/256, h = r · clamp(r + 768, 0, 1536); the byte is
/// clamp(zero + ((sat16(h >> before) · multiplier + 2^(after − 1)) >> after), 0, 255).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardSwish<'a> {
    /// From accumulators to r.
    #[serde(borrow)]
    pub rescale: Rescale<'a>,
    /// 0 to 31.
    pub before: u8,
    /// Not negative.
    pub multiplier: i16,
    /// 1 to 31.
    pub after: u8,
    /// The byte of 0.
    pub zero: u8,
}

/// How a layer's weights depend on the latent code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Factors<'a> {
    /// Not at all.
    Frozen,
    /// W̃ + A diag(s(z)) B̃.
    LowRank(#[serde(borrow)] LowRank<'a>),
    /// W̃ + Σ_j s_j(z) Ũ_j.
    Dense(DenseFactors<'a>),
    /// W̃_m, one of several matrices: the network is a mixture. With the feature `mixtures`.
    #[cfg(feature = "mixtures")]
    Members(Members<'a>),
}

/// Right shifts that keep the decoder's arithmetic within its types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shifts {
    /// Of the projection's accumulators, 0 to 31.
    pub projection: u8,
    /// Of projection times modulation, rounding halves up, 1 to 31.
    pub modulation: u8,
    /// Of the sum that is added to the mean's accumulator, rounding halves up, −7 to 31: a negative
    /// one shifts left. Of dense factors at least 0, and rounding down.
    pub sum: i8,
}

/// Low-rank factors: acc_o += (Σ_k a_ok · v_k) >> sum, v_k = sat8((p_k · m_k) >> modulation),
/// p_k = sat16(projection_k >> projection).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LowRank<'a> {
    /// B̃: inputs → rank.
    #[serde(borrow)]
    pub projection: Dense<'a>,
    /// A, int8, `[outputs, rank]`, packed as [`Dense::weights`] are: what every sample multiplies by
    /// is not worth unpacking.
    pub a: U8s<'a>,
    /// Shifts of the steps above.
    pub shifts: Shifts,
}

/// Dense factors: acc_o += (Σ_j v_jo) >> sum, v_jo = sat16((p_jo · m_j) >> modulation),
/// p_jo = sat16(projection_jo >> projection).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenseFactors<'a> {
    /// Number of matrices Ũ_j.
    pub count: u8,
    /// All Ũ_j under one another: inputs → count · outputs.
    #[serde(borrow)]
    pub projection: Dense<'a>,
    /// Shifts of the steps above.
    pub shifts: Shifts,
}

/// The layers of a mixture's other networks: a code's modulation m is the member whose weights the layer has. The first
/// has those of [`Layer::mean`], with whose bits, shifts and activation all others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members<'a> {
    /// Members besides the first, 1 to 31.
    pub others: u8,
    /// Their weights one after another, each packed as [`Dense::weights`] are.
    #[serde(borrow)]
    pub weights: U8s<'a>,
    /// Their biases, `[others, outputs]`.
    pub bias: I16s<'a>,
    /// Multipliers of what scales their accumulators, `[others, outputs]`; none of a [`Activation::Value`].
    pub multiplier: I16s<'a>,
}

/// The trunk g: latent code z (units of 1/32, plus 128) → modulation (i8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk<'a> {
    /// Latent code → hidden.
    #[serde(borrow)]
    pub hidden: Dense<'a>,
    /// To units of 1/64 before the tanh table.
    pub hidden_rescale: Rescale<'a>,
    /// Hidden → modulation.
    pub output: Dense<'a>,
    /// To the modulation's i8, saturating.
    pub output_rescale: Rescale<'a>,
}

/// Where latent codes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CodeSource {
    /// The codes in the file.
    Stored,
    /// A low-discrepancy sequence through the trunk.
    LowDiscrepancy,
    /// Independent standard normal draws through the trunk.
    Normal,
}

/// Latent codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codes<'a> {
    /// Dimension k of the latent code.
    pub latent_dim: u8,
    /// Source to use unless told otherwise.
    pub source: CodeSource,
    /// Number of samples to draw unless told otherwise.
    pub samples: u16,
    /// Modulations of codes chosen by the trainer, `[count, modulations]`; the first few are the
    /// best few.
    #[serde(borrow)]
    pub stored: I8s<'a>,
}

/// From network outputs to a calibrated prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output<'a> {
    /// Softmax over the outputs.
    Classification {
        /// Name of the target.
        #[serde(borrow)]
        target: &'a str,
        /// Class names, `[outputs]`.
        classes: Names<'a>,
        /// 1 / T of the averaged predictive in units of 2^−16, 1 to 2^26.
        inverse_temperature: u32,
        /// Classes with at least this probability are in the prediction set.
        set_threshold: f32,
        /// Coverage that the set was calibrated for, between 0 and 1.
        coverage: f32,
        /// Mutual information (nats) above which an input counts as out of distribution.
        epistemic_threshold: f32,
    },
    /// A normal distribution of the target.
    Regression {
        /// Name of the target.
        target: &'a str,
        /// Mean of the training targets, original units, at most 1e18 in magnitude.
        mean: f32,
        /// Standard deviation of the training targets, original units, above 0, at most 1e18.
        std: f32,
        /// Variance of the noise (aleatoric), standardised units, at least 0.
        noise_variance: f32,
        /// Half width of the interval in total standard deviations, above 0.
        interval: f32,
        /// Coverage that the interval was calibrated for, between 0 and 1.
        coverage: f32,
        /// Epistemic over aleatoric standard deviation above which an input counts as out of
        /// distribution.
        epistemic_threshold: f32,
    },
}

impl Normalisation<'_> {
    /// Number of features that it is for.
    pub fn len(&self) -> usize {
        match self {
            Self::Float { mean, .. } => mean.len(),
            Self::Whole { multiplier, .. } => multiplier.len(),
        }
    }

    /// Whether it is for no feature.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Reading {
    /// Smallest and largest reading.
    pub const fn range(self) -> (i32, i32) {
        match self {
            Self::U8 => (0, 255),
            Self::I8 => (-128, 127),
            Self::I16 => (-32_768, 32_767),
        }
    }
}

impl Activation<'_> {
    /// The byte of 0: of a hidden layer's output.
    pub const fn zero_point(&self) -> u8 {
        match self {
            Self::Tanh(_) | Self::Linear(_) => ZERO_POINT,
            Self::HardSwish(swish) => swish.zero,
            Self::Relu(_) | Self::Logits(_) | Self::Value(_) => 0,
        }
    }
}

impl<'a> Activation<'a> {
    /// The scaling of the layer's accumulators; none of a [`Self::Value`].
    pub const fn rescale(&self) -> Option<&Rescale<'a>> {
        match self {
            Self::Tanh(rescale)
            | Self::Relu(rescale)
            | Self::Logits(rescale)
            | Self::Linear(rescale) => Some(rescale),
            Self::HardSwish(swish) => Some(&swish.rescale),
            Self::Value(_) => None,
        }
    }

    /// The activation with other multipliers of the accumulators.
    #[must_use]
    pub fn with_multiplier(mut self, multiplier: I16s<'a>) -> Self {
        match &mut self {
            Self::Tanh(rescale)
            | Self::Relu(rescale)
            | Self::Logits(rescale)
            | Self::Linear(rescale) => rescale.multiplier = multiplier,
            Self::HardSwish(swish) => swish.rescale.multiplier = multiplier,
            Self::Value(_) => {}
        }
        self
    }
}

impl<'a> Factors<'a> {
    /// The other members of a mixture; none without the feature `mixtures`, so that the linker leaves out what only they
    /// need.
    #[inline]
    pub const fn members(&self) -> Option<&Members<'a>> {
        match self {
            #[cfg(feature = "mixtures")]
            Self::Members(members) => Some(members),
            _ => None,
        }
    }

    /// Number of modulation values that the layer reads.
    pub fn modulations(&self) -> usize {
        match self {
            Self::Frozen => 0,
            Self::LowRank(factors) => usize::from(factors.projection.outputs),
            Self::Dense(factors) => usize::from(factors.count),
            #[cfg(feature = "mixtures")]
            Self::Members(_) => 1,
        }
    }

    /// The projection of the layer's input and its shifts, where there is one.
    pub fn projection(&self) -> Option<(&Dense<'a>, Shifts)> {
        match self {
            Self::Frozen => None,
            #[cfg(feature = "mixtures")]
            Self::Members(_) => None,
            Self::LowRank(factors) => Some((&factors.projection, factors.shifts)),
            Self::Dense(factors) => Some((&factors.projection, factors.shifts)),
        }
    }
}

impl<'a> Layer<'a> {
    /// The weights and the activation of a member of `members`, which are this layer's; of the first where there is no
    /// such member.
    #[inline]
    pub fn member(&self, members: &Members<'a>, member: i8) -> (Dense<'a>, Activation<'a>) {
        let (mean, activation) = (self.mean, self.activation);
        let Some(index) = usize::try_from(member).ok().and_then(|member| member.checked_sub(1))
        else {
            return (mean, activation);
        };
        let outputs = usize::from(mean.outputs);
        let size = mean.bits.len(mean.inputs.into(), outputs);
        let (start, first) = (index.saturating_mul(size), index.saturating_mul(outputs));
        let (weights, bias) =
            (members.weights.slice(start, size), members.bias.slice(first, outputs));
        let multiplier = members.multiplier.slice(first, outputs);
        (Dense { weights, bias, ..mean }, activation.with_multiplier(multiplier))
    }
}

impl<'a> Artifact<'a> {
    /// The maps of a convolutional network; none without the feature `maps`, so that the linker leaves
    /// out what only they need.
    #[inline]
    pub const fn maps(&self) -> Option<&Geometry<'a>> {
        if cfg!(feature = "maps") { self.geometry.as_ref() } else { None }
    }

    /// Number of input features.
    pub fn input_len(&self) -> usize {
        match self.maps() {
            None => self.inputs.normalisation.len(),
            Some(geometry) => geometry.input.len(),
        }
    }

    /// Number of network outputs: classes, or 1.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| usize::from(layer.mean.outputs))
    }

    /// Total number of modulation values.
    pub fn modulations(&self) -> usize {
        self.layers.iter().map(|layer| layer.factors.modulations()).sum()
    }

    /// Number of codes in the file.
    pub fn stored_codes(&self) -> usize {
        self.codes.stored.len().checked_div(self.modulations()).unwrap_or(0)
    }

    /// Index of the first stochastic layer, or the number of layers.
    pub fn first_stochastic(&self) -> usize {
        let stochastic = |layer: &Layer| layer.factors.modulations() > 0;
        self.layers.iter().position(stochastic).unwrap_or(self.layers.len())
    }

    /// The arrays in the runtime's working memory.
    pub fn scratch_layout(&self) -> ScratchLayout {
        ScratchLayout::new(self)
    }

    /// Words of working memory that the runtime needs: what [`Self::scratch_len`] must be.
    pub fn required_scratch(&self) -> usize {
        self.scratch_layout().words()
    }
}
