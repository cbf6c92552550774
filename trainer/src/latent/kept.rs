//! Fits that are done, and the one under way, kept for a stage that goes on from there.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::closeness::Closeness;
use crate::checkpoints::Checkpoints;
use crate::decoder::{FitObjective, Fitted, Keeper, State};
use crate::descent::Adam;
use crate::network::Architecture;
use crate::stage::Scratch;

/// A fit under way is kept no more often than this: writing takes milliseconds.
const KEEP_EVERY: Duration = Duration::from_millis(250);
/// Number of steps done is kept as two numbers that a float holds exactly, the second below this.
const UNIT: usize = 1 << 20;

/// The fit of one structure in a folder.
pub(super) struct KeptFit<'s> {
    scratch: &'s Scratch,
    index: usize,
    /// When its state was kept last.
    last: Mutex<Instant>,
}

/// Result of a finished fit besides its parameters.
#[derive(Serialize, Deserialize)]
struct Done {
    closeness: Closeness,
    particles: usize,
}

impl<'s> KeptFit<'s> {
    /// The fit of the structure of this index.
    pub(super) fn new(scratch: &'s Scratch, index: usize) -> Self {
        Self { scratch, index, last: Mutex::new(Instant::now()) }
    }

    fn done(&self) -> String {
        format!("fit-{:02}", self.index)
    }

    fn under_way(&self) -> String {
        format!("under-way-{:02}", self.index)
    }

    /// The fit and how close it came, where it is done. Its decoder has `parameters`, its `encoder` is of this shape,
    /// and it was measured at `checkpoints`.
    ///
    /// # Errors
    /// A file is damaged.
    pub(super) fn fitted(
        &self,
        parameters: usize,
        encoder: Option<Architecture>,
        checkpoints: &Checkpoints,
    ) -> anyhow::Result<Option<(Fitted, Closeness)>> {
        let Some(Done { closeness, particles }) = self.scratch.record(&self.done())? else {
            return Ok(None);
        };
        let count = checkpoints.steps().len();
        let (own, size) =
            encoder.as_ref().map_or((0, 0), |encoder| (encoder.parameters(), encoder.outputs()));
        let lengths = [parameters, own, particles * size, count, count];
        let vectors = self.scratch.vectors(&self.done(), lengths)?;
        Ok(vectors.map(|[decoder, own, codes, energy, divergence]| {
            let codes = codes.chunks(size.max(1)).map(<[f32]>::to_vec).collect();
            let trace = objectives(&energy, &divergence);
            (
                Fitted { decoder, encoder: encoder.map(|shape| (shape, own)), codes, trace },
                closeness,
            )
        }))
    }

    /// Keeps a fit that is done, unless it diverged.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn keep_fitted(&self, fitted: &Fitted, closeness: Closeness) -> anyhow::Result<()> {
        let Fitted { decoder, encoder, codes, trace } = fitted;
        let encoder = encoder.as_ref().map_or(&[][..], |(_, parameters)| parameters);
        let (energy, divergence) = curves(trace);
        let flat = codes.concat();
        let vectors = [decoder, encoder, &flat, &energy, &divergence];
        if !closeness.is_finite() || !finite(&vectors) {
            return Ok(());
        }
        self.scratch.keep_vectors(&self.done(), &vectors)?;
        self.scratch.keep_record(&self.done(), &Done { closeness, particles: codes.len() })
    }
}

impl Keeper for KeptFit<'_> {
    fn state(
        &self,
        parameters: usize,
        encoder: usize,
        checkpoints: &Checkpoints,
    ) -> anyhow::Result<Option<State>> {
        let name = self.under_way();
        let Some([done]) = self.scratch.vectors(&name, [2])? else { return Ok(None) };
        let done = done[0] as usize * UNIT + done[1] as usize;
        let count = checkpoints.steps().iter().filter(|&&step| step <= done).count();
        let lengths =
            [2, parameters, parameters, parameters, encoder, encoder, encoder, count, count];
        let vectors = self.scratch.vectors(&name, lengths)?;
        Ok(vectors.map(
            |[_, decoder, first, second, encoder, first1, second1, energy, divergence]| State {
                done,
                decoder,
                adam: Adam::after(done, first, second),
                encoder,
                encoder_adam: Adam::after(done, first1, second1),
                trace: objectives(&energy, &divergence),
            },
        ))
    }

    /// Unless that was done just now, or the fit diverged.
    fn keep(
        &self,
        done: usize,
        [decoder, encoder]: [&[f32]; 2],
        [adam, encoder_adam]: [&Adam; 2],
        trace: &[FitObjective],
    ) -> anyhow::Result<()> {
        let ([first, second], [first1, second1]) = (adam.moments(), encoder_adam.moments());
        let (energy, divergence) = curves(trace);
        let done = [(done / UNIT) as f32, (done % UNIT) as f32];
        let vectors =
            [&done, decoder, first, second, encoder, first1, second1, &energy, &divergence];
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() < KEEP_EVERY || !finite(&vectors) {
            return Ok(());
        }
        self.scratch.keep_vectors(&self.under_way(), &vectors)?;
        *last = Instant::now();
        Ok(())
    }
}

fn finite(vectors: &[&[f32]]) -> bool {
    vectors.iter().all(|vector| vector.iter().all(|value| value.is_finite()))
}

/// A trace in floats, as exact as the stage records it.
fn curves(trace: &[FitObjective]) -> (Vec<f32>, Vec<f32>) {
    trace.iter().map(|now| (now.energy_score as f32, now.divergence as f32)).unzip()
}

fn objectives(energy: &[f32], divergence: &[f32]) -> Vec<FitObjective> {
    let pairs = energy.iter().zip(divergence);
    pairs
        .map(|(&energy, &divergence)| FitObjective {
            energy_score: energy.into(),
            divergence: divergence.into(),
        })
        .collect()
}
