//! Calls everything in the runtime with arguments that the optimiser knows nothing of. A panic ends
//! in a function that exists nowhere, so the program links only if no panic can be reached.
#![allow(unsafe_code, reason = "names for the linker")]
#![no_std]
#![no_main]

use core::fmt::{self, Display, Write};
use core::hint::black_box;
use core::panic::PanicInfo;

use fiberwalk_runtime::{
    Classification, Codes, Draw, Feature, LowDiscrepancy, Model, Normal, PredictError, Prediction,
    Regression, Session, Stored,
};

unsafe extern "C" {
    /// Defined nowhere.
    safe fn fiberwalk_runtime_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    fiberwalk_runtime_can_panic()
}

/// Where linkers start: what is not called from here is left out.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut scratch = [0; 64];
    loop {
        match Model::from_bytes(anything()) {
            Ok(model) => {
                let (model, scratch) = black_box((&model, &mut scratch[..]));
                describe(model);
                every_feature(model, scratch);
            }
            Err(error) => print(&error),
        }
    }
}

/// A slice of which the optimiser knows neither the length nor the contents.
fn anything<T>() -> &'static [T] {
    black_box::<&[T]>(&[])
}

/// The accessors.
#[inline(never)]
fn describe(model: &Model<'_>) {
    black_box((model.input_len(), model.scratch_len(), model.samples(), model.latent_dim()));
    black_box((model.target(), model.output(), model.clone()));
    black_box(model.map());
    for names in
        [Some(model.features()), Some(model.channels()), model.classes()].into_iter().flatten()
    {
        black_box((names.len(), names.is_empty(), names.get(black_box(1))));
        names.iter().for_each(|name| {
            black_box(name);
        });
    }
    let artifact = model.artifact();
    black_box((artifact.outputs(), artifact.modulations(), artifact.stored_codes()));
    black_box((artifact.first_stochastic(), artifact.required_scratch()));
    let (index, other) = black_box((2, 3));
    for layer in &artifact.layers {
        black_box((layer.mean.weight(index, other), layer.mean.bias.get(index)));
        black_box((layer.mean.bias.split_at(index), layer.mean.bias.slice(index, other)));
    }
}

/// Every type of input.
#[inline(never)]
fn every_feature(model: &Model<'_>, scratch: &mut [u32]) {
    every_source::<f32>(model, anything(), scratch);
    every_source::<u8>(model, anything(), scratch);
    every_source::<i8>(model, anything(), scratch);
    every_source::<i16>(model, anything(), scratch);
}

/// Every source of codes.
#[inline(never)]
fn every_source<F: Feature>(model: &Model<'_>, input: &[F], scratch: &mut [u32]) {
    let (seed, latent_dim) = black_box((0, 0));
    every_prediction(model, input, &mut Stored, scratch);
    every_prediction(model, input, &mut model.codes(7), scratch);
    every_prediction(model, input, &mut Normal::seeded(seed), scratch);
    every_prediction(model, input, &mut LowDiscrepancy::seeded(latent_dim, seed), scratch);
    every_prediction(model, input, &mut Anything, scratch);
}

/// A caller's own source, which may give anything.
struct Anything;

impl Codes for Anything {
    fn draw(&mut self, sample: usize, latent: &mut [i8]) -> Draw {
        black_box((sample, latent));
        black_box(Draw::Stored(0))
    }
}

/// Every way to predict.
#[inline(never)]
fn every_prediction<F: Feature>(
    model: &Model<'_>,
    input: &[F],
    codes: &mut impl Codes,
    scratch: &mut [u32],
) {
    let (samples, tolerance) = black_box((0, 0.0));
    result(model.predict(input, codes, samples, scratch));
    result(model.predict_mean(input, scratch));
    result(model.predict_until(input, codes, tolerance, samples, scratch).map(
        |(result, samples)| {
            black_box(samples);
            result
        },
    ));
    if let Ok(outputs) = black_box(model.mean_outputs(input, scratch)) {
        #[cfg(feature = "deliberate_panic")]
        black_box(outputs[black_box(0)]);
        black_box(outputs);
    }
    if let Ok(mut session) = Session::begin(model, input, scratch) {
        // As often as the caller likes.
        while black_box(true) {
            black_box(session.add_sample(codes)).ok();
            black_box((session.samples(), session.standard_error()));
        }
        result(session.finish());
    }
}

/// Everything in a result.
#[inline(never)]
fn result(result: Result<Prediction<'_>, PredictError>) {
    match black_box(result) {
        Ok(Prediction::Classification(class)) => classification(&class),
        Ok(Prediction::Regression(value)) => regression(&value),
        Err(error) => print(&error),
    }
}

/// The message of an error.
#[inline(never)]
fn print(error: &impl Display) {
    write!(Anywhere, "{}", black_box(error)).ok();
}

/// A place to print to, which may fail.
struct Anywhere;

impl Write for Anywhere {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        black_box(text);
        black_box(Ok(()))
    }
}

fn classification(class: &Classification<'_>) {
    black_box((class.top(), class.contains(black_box(0)), class.set_len(), class.is_sure()));
    class.set().for_each(|class| {
        black_box(class);
    });
}

fn regression(value: &Regression) {
    black_box((value.std(), value.epistemic_std()));
}
