//! What must hold of every file that decoding accepts, whatever its numbers and the input: for the
//! tests of changed files and for the fuzzers.

use fiberwalk_formats::{Activation, Artifact, CodeSource, MAX_SAMPLES, Output};
use fiberwalk_runtime::{
    Codes, Draw, Feature, LowDiscrepancy, Model, Normal, PredictError, Prediction, Session, Stored,
};

#[allow(dead_code, reason = "a part of it is for other tests")]
#[path = "../reference/mod.rs"]
mod reference;

/// A file may ask for much memory: a megabyte is enough.
const MOST_SCRATCH: usize = 1 << 18;
/// And for much time: as many products of a convolutional network are enough.
const MOST_PRODUCTS: usize = 1 << 17;
/// What a scratch buffer may hold before it is used.
const GARBAGE: u32 = 0xdead_beef;
/// Most that the entropy of one sample may be away from its exact value, nats.
const ENTROPY_ERROR: f64 = 5e-4;
/// Samples of the predictions.
const SAMPLES: [usize; 4] = [0, 1, 3, 6];
const MOST_SAMPLES: usize = SAMPLES[SAMPLES.len() - 1];

/// Decodes `file` and predicts in every way that there is, of `readings` taken as numbers of every
/// type, over and over. False where the file is refused.
pub fn use_model(file: &[u8], readings: &[u8]) -> bool {
    let Ok(model) = Model::from_bytes(file) else { return false };
    if model.scratch_len() <= MOST_SCRATCH && products(model.artifact()) <= MOST_PRODUCTS {
        let checks = Checks { model: &model, readings };
        checks.every_type();
    }
    true
}

/// Products of the mean weights; of a dense network its memory says enough.
fn products(artifact: &Artifact<'_>) -> usize {
    let Some(geometry) = &artifact.geometry else { return 0 };
    let steps = geometry.steps(&artifact.layers).map(|step| {
        let (inputs, outputs) = (step.layer.mean.inputs.max(1), step.layer.mean.outputs.max(1));
        let weights = usize::from(inputs) * usize::from(outputs);
        step.positions().saturating_mul(weights)
    });
    steps.fold(artifact.input_len(), usize::saturating_add)
}

/// Codes that are given, whatever their distribution.
struct Given<'a>(&'a [u8]);

impl Codes for Given<'_> {
    fn draw(&mut self, sample: usize, latent: &mut [i8]) -> Draw {
        let bytes = self.0.iter().cycle().skip(sample);
        latent.iter_mut().zip(bytes).for_each(|(z, &byte)| *z = byte as i8);
        Draw::Latent
    }
}

struct Checks<'a> {
    model: &'a Model<'a>,
    readings: &'a [u8],
}

impl Checks<'_> {
    fn every_type(&self) {
        self.every_source(&self.input(u8::from_le_bytes));
        self.every_source(&self.input(i8::from_le_bytes));
        self.every_source(&self.input(i16::from_le_bytes));
        let mut floats = self.input(f32::from_le_bytes);
        if let Some(index) = floats.iter().position(|x| !x.is_finite()) {
            let refused = self.model.mean_outputs(&floats, &mut self.scratch()).err();
            assert_eq!(refused, Some(PredictError::InputNotFinite { index }));
            floats.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        }
        self.every_source(&floats);
    }

    /// One number a feature.
    fn input<const N: usize, T: Default>(&self, from: fn([u8; N]) -> T) -> Vec<T> {
        let mut numbers = self.readings.as_chunks().0.iter().cycle();
        let next = || numbers.next().map_or(T::default(), |&bytes| from(bytes));
        std::iter::repeat_with(next).take(self.model.input_len()).collect()
    }

    fn scratch(&self) -> Vec<u32> {
        vec![GARBAGE; self.model.scratch_len()]
    }

    fn every_source<F: Feature + Into<f32>>(&self, x: &[F]) {
        let Self { model, readings } = *self;
        self.outputs_are_exact(x);
        let prediction = model.predict_mean(x, &mut self.scratch()).map(|mean| self.sound(mean));
        assert_eq!(prediction, Ok(()));

        let artifact = model.artifact();
        let (stored, drawn) = match (artifact.modulations(), &artifact.trunk) {
            (0, _) => (MAX_SAMPLES, MAX_SAMPLES),
            (_, None) => (artifact.stored_codes(), 0),
            (_, Some(_)) => (artifact.stored_codes(), MAX_SAMPLES),
        };
        self.every_way(x, || Stored, stored);
        self.every_way(x, || Normal::seeded(1), drawn);
        self.every_way(x, || LowDiscrepancy::seeded(model.latent_dim(), 1), drawn);
        self.every_way(x, || Given(readings), drawn);
        let chosen = if artifact.codes.source == CodeSource::Stored { stored } else { drawn };
        self.every_way(x, || model.codes(1), chosen);
        assert!(model.samples() <= chosen, "{} samples of {chosen}", model.samples());
    }

    /// In one call, until a tolerance and step by step: the same, from `available` samples at most.
    fn every_way<F: Feature, C: Codes>(&self, x: &[F], codes: impl Fn() -> C, available: usize) {
        let (mut scratch, mut other) = (self.scratch(), self.scratch());
        for samples in SAMPLES {
            let predicted = self.model.predict(x, &mut codes(), samples, &mut scratch);
            assert_eq!(predicted.is_ok(), (1..=available).contains(&samples), "{predicted:?}");
            assert_eq!(self.stepwise(x, codes(), samples, &mut other), predicted);
            let _ = predicted.map(|prediction| self.sound(prediction));
        }
        let tolerance = self.input(f32::from_le_bytes)[0];
        let until =
            self.model.predict_until(x, &mut codes(), tolerance, MOST_SAMPLES, &mut scratch);
        match until {
            Ok((prediction, samples)) => {
                assert!((1..=MOST_SAMPLES).contains(&samples), "{samples}");
                assert_eq!(self.stepwise(x, codes(), samples, &mut other), Ok(prediction));
            }
            Err(_) => assert!(available < MOST_SAMPLES, "{until:?}"),
        }
    }

    fn stepwise<'s, F: Feature>(
        &self,
        x: &[F],
        mut codes: impl Codes,
        samples: usize,
        scratch: &'s mut [u32],
    ) -> Result<Prediction<'s>, PredictError> {
        let mut session = Session::begin(self.model, x, scratch)?;
        for sample in 1..=samples {
            session.add_sample(&mut codes)?;
            assert_eq!(session.samples(), sample);
            assert!(session.standard_error().is_none_or(|error| error >= 0.0));
        }
        session.finish()
    }

    /// The last layer's accumulators are the specification's, in which nothing overflows.
    fn outputs_are_exact<F: Feature + Into<f32>>(&self, x: &[F]) {
        let Self { model, readings } = *self;
        let (mut scratch, artifact) = (self.scratch(), model.artifact());
        let floats: Vec<f32> = x.iter().map(|&x| x.into()).collect();
        let exact = |modulation: Option<&[i64]>| reference::outputs(artifact, &floats, modulation);
        let outputs = model.mean_outputs(x, &mut scratch).expect("a finite input");
        assert!(outputs.iter().map(|&output| i64::from(output)).eq(exact(None)), "{outputs:?}");

        if let Ok(prediction) = model.predict(x, &mut Stored, 1, &mut scratch) {
            let first = artifact.codes.stored.iter().take(artifact.modulations());
            let modulation: Vec<i64> = first.map(i64::from).collect();
            assert_of_one_sample(artifact, prediction, exact(Some(&modulation)));
        }
        if artifact.trunk.is_some() {
            let mut code = vec![0; model.latent_dim()];
            Given(readings).draw(0, &mut code);
            let modulation = reference::modulation(artifact, &code);
            let prediction = model.predict(x, &mut Given(readings), 1, &mut scratch);
            let prediction = prediction.expect("there is a trunk");
            assert_of_one_sample(artifact, prediction, exact(Some(&modulation)));
        }
    }

    /// No NaN, and every number in its range.
    fn sound(&self, prediction: Prediction<'_>) {
        match (prediction, self.model.output()) {
            (Prediction::Classification(class), Output::Classification { set_threshold, .. }) => {
                let sum: f64 = class.probabilities.iter().map(|&p| f64::from(p)).sum();
                // Every probability is rounded down to 24 bits.
                let lost = class.probabilities.len() as f64 / f64::from(1 << 24);
                assert!((sum - 1.0).abs() < 1e-4 + lost, "{sum}: {class:?}");
                assert!(class.probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{class:?}");
                assert!(class.entropy >= 0.0 && class.expected_entropy >= 0.0, "{class:?}");
                assert!(class.mutual_information >= 0.0, "{class:?}");
                let (top, most) = class.top();
                assert!(class.probabilities.iter().all(|&p| p <= most), "{class:?}");
                assert_eq!(class.probabilities[top], most, "{class:?}");
                let conforms = |&index: &usize| class.probabilities[index] >= *set_threshold;
                assert!(
                    class.set().eq((0..class.probabilities.len()).filter(conforms)),
                    "{class:?}"
                );
                assert_eq!(class.set().filter(|&c| class.contains(c)).count(), class.set_len());
                if class.is_sure() {
                    assert!(class.set_len() == 1 && !class.out_of_distribution);
                }
            }
            (Prediction::Regression(value), Output::Regression { .. }) => {
                assert!(value.mean.is_finite(), "{value:?}");
                assert!(value.variance >= 0.0 && value.epistemic_variance >= 0.0, "{value:?}");
                assert!(value.aleatoric_variance >= 0.0, "{value:?}");
                assert!(value.lower <= value.mean && value.mean <= value.upper, "{value:?}");
            }
            (prediction, output) => panic!("{prediction:?} of {output:?}"),
        }
    }
}

/// The prediction is what the specification says of one sample's accumulators.
fn assert_of_one_sample(artifact: &Artifact<'_>, prediction: Prediction<'_>, outputs: Vec<i64>) {
    match (prediction, artifact.output, artifact.layers.last().map(|layer| layer.activation)) {
        (
            Prediction::Regression(value),
            Output::Regression { mean, std, .. },
            Some(Activation::Value(unit)),
        ) => assert_eq!(value.mean, mean + std * (unit * outputs[0] as f32)),
        (Prediction::Classification(class), Output::Classification { .. }, _) => {
            let exact = reference::classify(artifact, &[outputs]).expected_entropy;
            let error = (f64::from(class.expected_entropy) - exact).abs();
            assert!(error < ENTROPY_ERROR, "{class:?}, expected {exact}");
        }
        (prediction, ..) => panic!("{prediction:?} of another kind than the file"),
    }
}
