//! Small data sets, and settings that train on them within seconds.

use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;

use crate::root;

/// Settings for [`digits`]; every stage has more than one thing to write.
pub const DIGITS_CONFIG: &str = "\
[network]
hidden = [24, 16]
[map]
prior_precision = [3, 1, 0.3]
steps = 300
[walk]
particles = 32
steps = 150
drift = \"isotropic\"
temperature = 0.1
[latent]
dim = 3
decoder = [\"frozen\", \"low-rank:4\", \"dense:3\"]
steps = 400
";

/// Settings for [`waves`].
pub const REGRESSION_CONFIG: &str = "\
[network]
hidden = [20]
[map]
prior_precision = [3, 1]
steps = 400
[walk]
particles = 16
steps = 200
drift = \"data-noise\"
temperature = 1.0
[latent]
dim = 2
decoder = [\"low-rank:4\", \"low-rank:4\"]
steps = 400
";

/// Rows of the bundled handwritten digits as CSV: 64 pixels and the column `digit`. Neighbouring
/// rows are of one writer.
pub fn digits(rows: impl Iterator<Item = usize>) -> String {
    let path = root().join("trainer/data/digits.csv");
    let text = fs::read_to_string(path).expect("the digits are bundled");
    let lines: Vec<&str> = text.lines().collect();
    let chosen = rows.map(|row| lines[row + 1]);
    [lines[0]].into_iter().chain(chosen).flat_map(|line| [line, "\n"]).collect()
}

/// A sine with noise of 0.2 in units of its amplitude, over two features and one category:
/// columns `x`, `slope`, `kind`, `height`.
pub fn waves(rows: Range<usize>) -> String {
    let mut csv = String::from("x,slope,kind,height\n");
    for row in rows {
        // Independent uniform numbers from a row's number, so that ranges do not overlap.
        let mut state = (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut uniform = || {
            state ^= state >> 30;
            state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            state ^= state >> 27;
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        for _ in 0..4 {
            uniform();
        }
        let (x, slope) = (4.0 * uniform() - 2.0, uniform());
        let (kind, shift) = if uniform() < 0.5 { ("low", 0.0) } else { ("high", 1.0) };
        let normal = (-2.0 * uniform().max(1e-12).ln()).sqrt() * (TAU * uniform()).cos();
        let height = 100.0 + 10.0 * ((2.0 * x).sin() + slope * x + shift + 0.2 * normal);
        writeln!(csv, "{x:.4},{slope:.4},{kind},{height:.4}").expect("a string grows");
    }
    csv
}

/// Side of the colourful images, and their number.
pub const SIDE: usize = 4;
const IMAGES: usize = 240;

/// Pixels of colourful images, `[240, 4, 4, 3]`, and which channel of each is brighter than the others, `[240]`.
pub fn colourful() -> (Vec<u8>, Vec<u8>) {
    let value = |index: usize| {
        let (image, channel) = (index / (SIDE * SIDE * 3), index % 3);
        let noise = (index * index * 31 + index * 17) % 97;
        (noise + if image % 3 == channel { 90 } else { 20 }) as u8
    };
    let labels = (0..IMAGES as u8).map(|image| image % 3).collect();
    ((0..IMAGES * SIDE * SIDE * 3).map(value).collect(), labels)
}

/// An `.npy` file of bytes with this shape, as Python writes the insides of a tuple.
pub fn npy(shape: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}");
    let header = format!("{header:117}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), elements]
        .concat()
}
