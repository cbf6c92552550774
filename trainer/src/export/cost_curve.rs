//! Scores and costs of other artifacts: any of the decoders that were fitted, with fewer or more
//! codes. Measured once a model is chosen, for people to judge it by; nothing is chosen by it.

use serde::{Deserialize, Serialize};

use crate::decoder::Structure;
use crate::run_dir::RunDir;

/// Name of the record.
pub(super) const COST_CURVE: &str = "cost-curve.json";
/// Most calibration rows that it is measured on.
pub(super) const MOST_ROWS: usize = 512;
/// Numbers of codes up to this one are measured, whatever number is exported.
const LEAST_REACH: usize = 16;

/// `cost-curve.json`: NLL, bytes and work of every artifact that could have been exported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostCurve {
    /// Calibration rows that it was measured on.
    pub rows: usize,
    /// Number of codes, and of samples, of the exported artifact.
    pub exported_samples: usize,
    /// The exported decoder's place among `decoders`.
    pub exported_decoder: usize,
    /// Every decoder that was fitted.
    pub decoders: Vec<DecoderCurve>,
}

/// Artifacts of one decoder, by their number of codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecoderCurve {
    /// Its layers.
    pub structure: Structure,
    /// Few codes first.
    pub points: Vec<CostPoint>,
}

/// One artifact, its weights of as many bits as those of the exported one, calibrated as that is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostPoint {
    /// Number of codes that it stores, and of samples of a prediction.
    pub samples: usize,
    /// Mean NLL of the runtime's predictions, nats; regression in the target's own units.
    pub nll: f64,
    /// Size of the file.
    pub bytes: usize,
    /// Predicted cost of a prediction in deterministic passes.
    pub passes: f64,
}

impl CostCurve {
    /// Reads that of a run.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(dir: &RunDir) -> anyhow::Result<Self> {
        dir.read_json(COST_CURVE, Self::check)
    }

    fn check(&self) -> Result<(), String> {
        let exported = self.decoders.get(self.exported_decoder).ok_or_else(|| {
            let (place, count) = (self.exported_decoder, self.decoders.len());
            format!("exported_decoder is {place} of {count}")
        })?;
        if !exported.points.iter().any(|point| point.samples == self.exported_samples) {
            return Err(format!("found no point of {} exported samples", self.exported_samples));
        }
        let mut points = self.decoders.iter().flat_map(|decoder| &decoder.points);
        match points.find(|point| !point.nll.is_finite() || !point.passes.is_finite()) {
            Some(point) => Err(format!("found {point:?}, expected finite numbers")),
            None => Ok(()),
        }
    }

    /// The exported artifact.
    pub fn exported(&self) -> Option<&CostPoint> {
        let points = &self.decoders.get(self.exported_decoder)?.points;
        points.iter().find(|point| point.samples == self.exported_samples)
    }
}

/// Numbers of codes to measure: powers of two, and the exported number.
pub(super) fn code_counts(exported: usize) -> Vec<usize> {
    let most = exported.max(LEAST_REACH);
    let mut counts: Vec<usize> = (0..).map(|power| 1 << power).take_while(|&s| s <= most).collect();
    if let Err(place) = counts.binary_search(&exported) {
        counts.insert(place, exported);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exported_number_of_codes_is_among_those_measured() {
        assert_eq!(code_counts(16), [1, 2, 4, 8, 16]);
        assert_eq!(code_counts(3), [1, 2, 3, 4, 8, 16]);
        assert_eq!(code_counts(40), [1, 2, 4, 8, 16, 32, 40]);
    }
}
