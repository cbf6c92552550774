//! Prices of the runtime's operations on every kind of core, for `tests/prices`.
//!
//! `prices models FILE` writes models of many shapes, for the firmware's program `spread`;
//! `prices fit MODULE MEASURED…` fits prices to what it printed on every kind of core, and writes them
//! as a Rust module.

use std::fmt::Write;
use std::{env, fs};

use anyhow::{Context, bail};
use fiberwalk::internals::costs::instructions::{Core, Counts, Operation, Operations};
use fiberwalk::internals::data::{Column, Layout, Schema, Series};
use fiberwalk::internals::decoder::{DecoderShape, draw_modulations};
use fiberwalk::internals::export::file::DecoderExport;
use fiberwalk::internals::network::{Activation, Architecture, Batch, LayerSpec, Shape};
use fiberwalk::internals::quantise::{Precision, Quantised, Ranges, Unquantised};
use fiberwalk::internals::random::{Purpose, stream};
use fiberwalk::internals::task::{
    AnyTask, Calibration, Classification, NoiseStd, Regression, Temperature, Thresholds,
};
use fiberwalk_formats::{Bits, CodeSource, Reading, decode};
use nalgebra::{DMatrix, DVector};
use rand_distr::{Distribution, StandardNormal};

use Activation::{Relu, Tanh};
use Input::{Float, Whole};

/// What a model is fed with.
#[derive(Clone, Copy, PartialEq)]
enum Input {
    Float,
    Whole,
}

/// A model: its network, activation, decoder, bits of weights and of factors, what it is fed with, and the
/// dimension of its latent code.
type Model<Network> =
    (Network, Activation, &'static [&'static str], &'static [u8], u8, Input, usize);

/// Widths of dense layers.
type Widths = &'static [usize];

/// Height, width and channels of a map, hidden layers, and outputs.
type Maps = ([usize; 3], &'static [&'static str], usize);

#[rustfmt::skip] // A table.
const MODELS: [Model<Widths>; 36] = [
    (&[4, 8, 3], Tanh, &["frozen", "low-rank:1"], &[8, 8], 8, Float, 4),
    (&[4, 8, 3], Relu, &["low-rank:2", "low-rank:2"], &[4, 4], 4, Float, 2),
    (&[2, 50, 2], Tanh, &["low-rank:1", "low-rank:1"], &[8, 8], 8, Float, 4),
    (&[2, 50, 2], Relu, &["frozen", "low-rank:4"], &[4, 8], 8, Whole, 4),
    (&[8, 50, 1], Tanh, &["frozen", "low-rank:4"], &[8, 8], 8, Float, 4),
    (&[8, 50, 1], Relu, &["low-rank:8", "low-rank:8"], &[4, 4], 4, Float, 4),
    (&[8, 50, 1], Tanh, &["low-rank:16", "low-rank:16"], &[8, 8], 8, Whole, 8),
    (&[11, 50, 1], Relu, &["frozen", "low-rank:1"], &[8, 8], 8, Float, 4),
    (&[11, 50, 1], Tanh, &["low-rank:2", "low-rank:2"], &[8, 8], 8, Float, 4),
    (&[13, 50, 3], Tanh, &["frozen", "low-rank:4"], &[8, 8], 8, Float, 4),
    (&[13, 50, 3], Relu, &["low-rank:3", "low-rank:12"], &[8, 4], 4, Float, 3),
    (&[18, 50, 4], Tanh, &["frozen", "low-rank:8"], &[8, 8], 8, Float, 4),
    (&[18, 50, 4], Tanh, &["low-rank:2", "low-rank:2"], &[8, 8], 4, Whole, 4),
    (&[18, 50, 4], Relu, &["frozen", "low-rank:16"], &[4, 8], 8, Float, 4),
    (&[16, 50, 10], Tanh, &["frozen", "low-rank:8"], &[4, 8], 8, Float, 4),
    (&[16, 50, 10], Relu, &["low-rank:4", "low-rank:4"], &[8, 8], 8, Whole, 4),
    (&[16, 50, 10], Tanh, &["low-rank:16", "low-rank:16"], &[8, 4], 4, Float, 8),
    (&[64, 50, 10], Relu, &["low-rank:4", "low-rank:8"], &[8, 8], 8, Whole, 4),
    (&[64, 50, 10], Tanh, &["frozen", "low-rank:2"], &[4, 4], 4, Float, 4),
    (&[64, 64, 32, 10], Tanh, &["frozen", "frozen", "low-rank:8"], &[8, 8, 8], 8, Whole, 4),
    (&[64, 64, 32, 10], Relu, &["frozen", "frozen", "low-rank:16"], &[4, 4, 4], 4, Whole, 4),
    (&[64, 64, 32, 10], Tanh, &["frozen", "low-rank:4", "low-rank:4"], &[4, 4, 8], 4, Float, 4),
    (&[64, 64, 32, 10], Relu, &["low-rank:16", "low-rank:16", "low-rank:16"], &[8, 8, 8], 8, Float, 4),
    (&[64, 64, 32, 10], Tanh, &["low-rank:1", "low-rank:2", "low-rank:1"], &[8, 4, 4], 8, Whole, 2),
    (&[32, 24, 16, 5], Tanh, &["frozen", "low-rank:2", "dense:2"], &[8, 8, 8], 8, Float, 4),
    (&[12, 20, 1], Relu, &["dense:2", "dense:1"], &[8, 8], 8, Float, 4),
    (&[6, 10, 2], Tanh, &["dense:4", "dense:4"], &[8, 4], 4, Float, 4),
    (&[100, 40, 20], Tanh, &["frozen", "low-rank:16"], &[8, 8], 8, Whole, 6),
    (&[128, 30, 26], Relu, &["frozen", "low-rank:8"], &[4, 4], 8, Whole, 4),
    (&[20, 16, 16, 16, 4], Tanh, &["frozen", "frozen", "low-rank:4", "low-rank:4"], &[8, 8, 8, 8], 8, Float, 4),
    (&[20, 16, 16, 16, 4], Relu, &["frozen", "low-rank:8", "frozen", "low-rank:2"], &[4, 4, 4, 4], 4, Float, 4),
    (&[30, 32, 7], Tanh, &["low-rank:24", "low-rank:12"], &[8, 8], 8, Float, 4),
    (&[40, 28, 12], Relu, &["frozen", "low-rank:32"], &[8, 8], 4, Float, 4),
    (&[9, 12, 6], Tanh, &["low-rank:5", "low-rank:3"], &[8, 8], 8, Float, 1),
    (&[100, 60], Tanh, &["low-rank:1"], &[8], 8, Float, 4),
    (&[48, 40, 40, 3], Relu, &["frozen", "low-rank:2", "low-rank:8"], &[8, 8, 8], 8, Whole, 4),
];

#[rustfmt::skip] // A table.
const CONVOLUTIONS: [Model<Maps>; 7] = [
    (([12, 12, 1], &["conv 5x5x4", "max 2", "10"], 5), Tanh, &["frozen", "frozen", "low-rank:4"], &[8, 8, 8], 8, Whole, 4),
    (([10, 10, 1], &["conv 3x3x8", "max 2"], 4), Relu, &["frozen", "low-rank:4"], &[8, 8], 8, Whole, 4),
    (([10, 10, 2], &["conv 3x3x4 stride 2", "conv 3x3x6", "8"], 6), Tanh, &["frozen", "frozen", "frozen", "low-rank:8"], &[8, 8, 8, 8], 8, Float, 4),
    (([8, 8, 4], &["conv 3x3x4 padding 1 groups 4", "conv 1x1x12", "average"], 3), Relu, &["frozen", "frozen", "low-rank:4"], &[8, 8, 8], 8, Whole, 4),
    (([8, 8, 6], &["conv 3x3x6 padding 1", "conv 3x3x6 padding 1 skip 0", "max 2"], 3), Relu, &["frozen", "frozen", "low-rank:2"], &[8, 8, 8], 8, Whole, 4),
    (([6, 6, 2], &["conv 3x3x4"], 3), Tanh, &["low-rank:2", "low-rank:2"], &[8, 8], 8, Whole, 4),
    (([1, 20, 2], &["conv 3x6", "max 2"], 1), Relu, &["low-rank:3", "low-rank:4"], &[8, 8], 8, Float, 4),
];

/// Stored codes of every model.
const STORED: usize = 32;
/// Inputs that ranges are measured on.
const ROWS: usize = 64;
/// Singular values below this are none.
const EPSILON: f64 = 1e-9;

/// The models, dense ones first.
fn models() -> anyhow::Result<Vec<Model<Architecture>>> {
    let dense = MODELS.map(|(widths, activation, decoders, bits, factor_bits, input, dim)| {
        let network = Architecture::perceptron(widths, activation);
        Ok((network, activation, decoders, bits, factor_bits, input, dim))
    });
    let convolving =
        CONVOLUTIONS.map(|(maps, activation, decoders, bits, factor_bits, input, dim)| {
            let ([height, width, channels], hidden, outputs) = maps;
            let shape = Shape { height, width, channels };
            let hidden =
                hidden.iter().map(|layer| layer.parse()).collect::<Result<Vec<LayerSpec>, _>>();
            let network = hidden
                .and_then(|hidden| Architecture::of(shape, &hidden, activation, outputs))
                .map_err(anyhow::Error::msg)?;
            Ok((network, activation, decoders, bits, factor_bits, input, dim))
        });
    dense.into_iter().chain(convolving).collect()
}

/// The file of a model, with random weights drawn by `index`.
fn file(index: usize, model: &Model<Architecture>) -> anyhow::Result<Vec<u8>> {
    let (architecture, _, decoders, bits, factor_bits, input, latent_dim) = model.clone();
    let width = |bits: u8| if bits == 4 { Bits::Four } else { Bits::Eight };
    let decoders = decoders.iter().map(|decoder| decoder.parse());
    let structure = decoders.collect::<Result<_, String>>().map_err(anyhow::Error::msg)?;
    let shape = DecoderShape { architecture, structure, latent_dim };
    let mut rng = stream(index as u64, Purpose::Decoder, 0);
    let theta = shape.architecture.initialise(&mut rng);
    let decoder = shape.initialise(&[theta], &mut rng);
    let (inputs, outputs) = (shape.architecture.inputs(), shape.architecture.outputs());
    let x: Vec<f32> = (0..inputs * ROWS).map(|_| StandardNormal.sample(&mut rng)).collect();
    let sampled = draw_modulations(&shape, &decoder, STORED, index as u64);
    let source = Unquantised {
        shape: &shape,
        decoder: &decoder,
        logits: outputs > 1,
        stored: &sampled,
        sampled: &sampled,
        batch: &Batch::from_rows(&x, inputs),
    };
    let precision = Precision {
        layers: bits.iter().map(|&bits| width(bits)).collect(),
        factors: width(factor_bits),
    };
    let quantised = Quantised::new(&source, &Ranges::measure(&source), &precision);
    let names = |count: usize| (0..count).map(|index| index.to_string()).collect::<Vec<_>>();
    let (mean, std) = if input == Whole { (127.5, 70.0) } else { (0.3, 1.3) };
    let (task, calibration) = if outputs > 1 {
        (
            AnyTask::Classification(Classification { classes: names(outputs) }),
            Calibration::Classification(Temperature(1.3)),
        )
    } else {
        (
            AnyTask::Regression(Regression { mean: 20.3, std: 7.1 }),
            Calibration::Regression(NoiseStd(0.3)),
        )
    };
    let schema = Schema {
        layout: match shape.architecture.convolves() {
            true => Layout::Image(shape.architecture.input),
            false => Layout::Columns(names(inputs).into_iter().map(Column::Number).collect()),
        },
        mean: vec![mean; inputs],
        std: vec![std; inputs],
        target: "y".to_owned(),
        task,
        series: Series::default(),
    };
    let export = DecoderExport {
        quantised: &quantised,
        schema: &schema,
        thresholds: Thresholds::open(calibration),
        coverage: 0.9,
        latent_dim,
        source: CodeSource::Stored,
        samples: STORED,
        reading: (input == Whole).then_some(Reading::U8),
        trunk: true,
        seed: 0,
        date: None,
    };
    export.to_bytes()
}

/// What the boards executed for one kind of prediction.
struct Sample {
    counts: Counts,
    instructions: f64,
}

impl Sample {
    fn convolves(&self) -> bool {
        self.counts[Operation::Position as usize] > 0
    }
}

/// Reads lines MODEL|FIGURE|INSTRUCTIONS of the program `spread`.
fn read(measured: &str, files: &[Vec<u8>]) -> anyhow::Result<Vec<Sample>> {
    let sample = |line: &str| {
        let mut cells = line.split('|');
        let mut cell = || cells.next().with_context(|| format!("{line}: fewer than three cells"));
        let (number, figure, value): (usize, _, _) = (cell()?.parse()?, cell()?, cell()?.parse()?);
        let file = files.get(number).with_context(|| format!("{line}: no such model"))?;
        let operations = |source| Ok::<_, anyhow::Error>(Operations::of(&decode(file)?, source));
        let counts = match figure.split_once(' ') {
            Some((samples, "stored")) => {
                operations(CodeSource::Stored)?.of_samples(samples.parse()?)
            }
            Some((samples, "drawn")) => {
                operations(CodeSource::Normal)?.of_samples(samples.parse()?)
            }
            _ => operations(CodeSource::Stored)?.pass,
        };
        Ok(Sample { counts, instructions: value })
    };
    measured.lines().map(sample).collect()
}

/// The prices, none below 0, that come closest to the samples in relative error: of all operations but
/// those of convolutions to the samples without one, then of these to the others.
fn fit(samples: &[Sample]) -> anyhow::Result<Vec<f64>> {
    let first = Operation::Position as usize;
    let (with, without): (Vec<&Sample>, Vec<&Sample>) =
        samples.iter().partition(|sample| sample.convolves());
    let mut prices = vec![0.0; Operation::ALL.len()];
    fit_to(&without, (0..first).collect(), &mut prices)?;
    fit_to(&with, (first..Operation::ALL.len()).collect(), &mut prices)?;
    Ok(prices)
}

/// Fits the prices of the operations `used`, the others' being known: least squares, with prices that would
/// be negative taken out one by one.
fn fit_to(samples: &[&Sample], mut used: Vec<usize>, prices: &mut [f64]) -> anyhow::Result<()> {
    loop {
        let design = DMatrix::from_fn(samples.len(), used.len(), |row, column| {
            samples[row].counts[used[column]] as f64 / samples[row].instructions
        });
        // Shares of what the known prices leave.
        let left = DVector::from_fn(samples.len(), |row, _| {
            let priced = samples[row].counts.iter().zip(&*prices);
            1.0 - priced.map(|(&count, price)| count as f64 * price).sum::<f64>()
                / samples[row].instructions
        });
        let solved = design.svd(true, true).solve(&left, EPSILON).map_err(anyhow::Error::msg)?;
        let (lowest, price) = solved.argmin();
        if price >= 0.0 {
            used.iter().zip(&solved).for_each(|(&kind, &price)| prices[kind] = price);
            return Ok(());
        }
        used.remove(lowest);
    }
}

/// Largest relative error of a fit to the samples with convolutions, or to those without.
fn worst_error(samples: &[Sample], prices: &[f64], convolves: bool) -> f64 {
    let error = |sample: &Sample| {
        let priced = sample.counts.iter().zip(prices);
        let predicted: f64 = priced.map(|(&count, price)| count as f64 * price).sum();
        (predicted / sample.instructions - 1.0).abs()
    };
    let same = samples.iter().filter(|sample| sample.convolves() == convolves);
    same.map(error).fold(0.0, f64::max)
}

/// The module of prices, from the measurements on every core.
fn module(measured: &[Vec<Sample>]) -> anyhow::Result<String> {
    let fits: Vec<Vec<f64>> =
        measured.iter().map(|samples| fit(samples)).collect::<Result<_, _>>()?;
    let errors = |convolves| {
        let errors = measured.iter().zip(&fits);
        let errors: Vec<String> = errors
            .map(|(samples, prices)| format!("{:.3}", worst_error(samples, prices, convolves)))
            .collect();
        format!("[{}]", errors.join(", "))
    };
    let mut text = format!(
        "//! Written by `./tests/prices`: a least-squares fit to {} predictions with {} models on\n\
         //! emulated boards.\n\n\
         /// Instructions of every operation of [`Operation::ALL`](super::Operation::ALL), on the cores of\n\
         /// [`Core::ALL`](super::Core::ALL).\n\
         #[rustfmt::skip] // A table.\n\
         pub(super) const PRICES: &[[f64; {}]] = &[\n",
        measured[0].len(),
        MODELS.len() + CONVOLUTIONS.len(),
        Core::ALL.len()
    );
    for (kind, operation) in Operation::ALL.iter().enumerate() {
        let prices: Vec<String> =
            fits.iter().map(|prices| format!("{:.2}", prices[kind])).collect();
        writeln!(text, "    [{}], // {operation:?}", prices.join(", "))?;
    }
    write!(
        text,
        "];\n\n\
         /// Largest relative error of the fit on the cores of [`Core::ALL`](super::Core::ALL): of dense\n\
         /// networks, and of those with convolutions.\n\
         pub(super) const WORST_ERRORS: [[f64; {}]; 2] =\n    [{}, {}];\n",
        Core::ALL.len(),
        errors(false),
        errors(true)
    )?;
    Ok(text)
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let models = models()?.into_iter().enumerate();
    let files: Vec<Vec<u8>> =
        models.map(|(index, model)| file(index, &model)).collect::<Result<_, _>>()?;
    match arguments.as_slice() {
        ["models", path] => {
            let length = |file: &[u8]| (file.len() as u32).to_le_bytes();
            let spread = files.iter().flat_map(|file| length(file).into_iter().chain(file.clone()));
            fs::write(path, spread.collect::<Vec<u8>>())?;
        }
        ["fit", module_path, measured @ ..] if measured.len() == Core::ALL.len() => {
            let read = |path: &&str| read(&fs::read_to_string(path)?, &files);
            let measured = measured.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
            fs::write(module_path, module(&measured)?)?;
        }
        _ => bail!("usage: prices models FILE | prices fit MODULE MEASURED…, one for every core"),
    }
    Ok(())
}
