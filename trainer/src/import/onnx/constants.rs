//! Values that a model holds, in its file or in one beside it.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use anyhow::{Context, bail, ensure};

use super::proto::{self, packed};
use super::tensor::{Tensor, count};
use crate::excerpt::excerpt;
use crate::files;

/// `TensorProto.DataType` of single precision.
pub const FLOAT: i64 = 1;
/// `TensorProto.DataType` of 32-bit whole numbers.
pub const INT32: i64 = 6;
/// `TensorProto.DataType` of 64-bit whole numbers.
pub const INT64: i64 = 7;
/// `TensorProto.DataType` of truth values.
const BOOL: i64 = 9;
/// `TensorProto.DataType` of double precision.
pub const DOUBLE: i64 = 11;

/// The values of a tensor of numbers; those that are not in the model's file are read from `folder`.
///
/// # Errors
/// Texts, numbers of another type, as many values as the shape does not have, or a file that is not there.
pub fn tensor(tensor: &proto::Tensor<'_>, folder: &Path) -> anyhow::Result<Tensor> {
    if tensor.outside {
        let bytes = outside(tensor, folder)?;
        return tensor_of(&proto::Tensor { raw: Some(&bytes), outside: false, ..tensor.clone() });
    }
    tensor_of(tensor)
}

/// The values of a tensor that the model's file holds.
///
/// # Errors
/// The errors of [`tensor`].
pub fn tensor_of(tensor: &proto::Tensor<'_>) -> anyhow::Result<Tensor> {
    ensure!(!tensor.segment, "found a piece of a tensor, expected a whole one");
    let shape = shape(tensor)?;
    let expected = count(&shape)?;
    let raw = tensor.raw;
    let singles = |bytes| anyhow::Ok(numbers(packed(bytes)?, f32::from_le_bytes));
    let ints = || tensor.ints.iter().map(|&int| int as f64).collect::<Vec<_>>();
    let values: Vec<f64> = match (tensor.kind, raw) {
        (FLOAT, Some(raw)) => singles(raw)?,
        (FLOAT, None) => singles(&tensor.singles)?,
        (DOUBLE, _) => numbers(packed(raw.unwrap_or(&tensor.doubles))?, f64::from_le_bytes),
        (INT64, Some(raw)) => {
            packed(raw)?.iter().map(|&bytes| i64::from_le_bytes(bytes) as f64).collect()
        }
        (INT32, Some(raw)) => numbers(packed(raw)?, i32::from_le_bytes),
        (BOOL, Some(raw)) => numbers(packed(raw)?, u8::from_le_bytes),
        (INT32 | INT64 | BOOL, None) => ints(),
        (other, _) => {
            bail!("found values of type {other}, expected floats, doubles or whole numbers")
        }
    };
    ensure!(values.len() == expected, "found {} values in the shape {shape:?}", values.len());
    Ok(Tensor { shape, values })
}

/// Names of classes: texts, or whole numbers.
pub fn names(tensor: &proto::Tensor<'_>) -> Option<Vec<String>> {
    if !tensor.texts.is_empty() {
        let text = |bytes: &&[u8]| String::from_utf8_lossy(bytes).into_owned();
        return Some(tensor.texts.iter().map(text).collect());
    }
    if ![INT32, INT64].contains(&tensor.kind) || tensor.outside {
        return None;
    }
    let whole = tensor_of(tensor).ok()?.whole().ok()?;
    Some(whole.iter().map(i64::to_string).collect())
}

fn numbers<const N: usize, T: Into<f64>>(values: &[[u8; N]], read: fn([u8; N]) -> T) -> Vec<f64> {
    values.iter().map(|&bytes| read(bytes).into()).collect()
}

/// Lengths of a tensor's axes.
fn shape(tensor: &proto::Tensor<'_>) -> anyhow::Result<Vec<usize>> {
    let length = |&length: &i64| usize::try_from(length).ok();
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(length).collect();
    shape.with_context(|| format!("found the shape {:?}", tensor.dims))
}

/// The bytes of a tensor that lie in a file beside the model.
fn outside(tensor: &proto::Tensor<'_>, folder: &Path) -> anyhow::Result<Vec<u8>> {
    let entry = |key: &str| {
        tensor.location.iter().find(|(other, _)| *other == key).map(|(_, value)| *value)
    };
    let number = |key: &str| -> anyhow::Result<Option<u64>> {
        let parse = |text: &str| {
            text.parse().with_context(|| format!("its {key}: found `{}`", excerpt(text)))
        };
        entry(key).map(parse).transpose()
    };
    let width: u64 = match tensor.kind {
        FLOAT | INT32 => 4,
        DOUBLE | INT64 => 8,
        BOOL => 1,
        other => bail!("found values of type {other}, expected floats, doubles or whole numbers"),
    };
    let expected = count(&shape(tensor)?)? as u64 * width;
    let location = entry("location").context("its values are in no file")?;
    let named = excerpt(location);
    let location = Path::new(location);
    let beside = location.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(beside, "its values are in `{named}`, expected a file beside the model");
    let shown = folder.join(&named);
    let shown = shown.display();
    let unreadable = || format!("cannot read {shown}");
    let mut file = files::open(&folder.join(location)).with_context(unreadable)?;
    let all = file.metadata().with_context(unreadable)?.len();
    let start = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(all.saturating_sub(start));
    ensure!(
        length == expected,
        "{shown} has {length} bytes from {start} on, expected {expected} for its shape"
    );
    ensure!(
        start.checked_add(length).is_some_and(|end| end <= all),
        "{shown} ends before its {length} bytes from {start} on"
    );
    file.seek(SeekFrom::Start(start)).with_context(unreadable)?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).with_context(unreadable)?;
    Ok(bytes)
}
