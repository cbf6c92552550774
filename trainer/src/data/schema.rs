//! Meaning of a data file's columns, and their normalisation.

use std::sync::Arc;

use rand_distr::{Distribution, Uniform};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tracing::info;

use fiberwalk_formats::INPUT_CLIP;

use super::series::windows;
use super::spread::varies;
use super::{
    Dataset, Inputs, Layout, Rows, Series, Shape, Source, Table, TableError, Target, Values,
};
use crate::excerpt::excerpt;
use crate::inputs::standardise;
use crate::task::{AnyTask, Classification, Regression, Targets};

/// Smallest deviation of an input: its inverse, times the steps of the board's inputs, is a float of 32 bits.
const SMALLEST_STD: f32 = 1e-36;

/// The meaning of a data file's columns, learned from training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Schema {
    /// Layout of an input.
    pub layout: Layout,
    /// Mean of each input value over the training rows; the channels of a map have one mean each.
    pub mean: Vec<f32>,
    /// Standard deviation of each over the training rows, likewise; 1 for what is constant.
    pub std: Vec<f32>,
    /// Name of the target column.
    pub target: String,
    /// The task.
    pub task: AnyTask,
    /// Groups and windows of rows.
    #[serde(default, skip_serializing_if = "Series::is_empty")]
    pub series: Series,
}

/// A schema as a file has it: versions up to 0.1 wrote the names of the inputs, and their shape if they were a
/// map, in place of the layout.
#[derive(Deserialize)]
struct Written {
    layout: Option<Layout>,
    features: Option<Vec<String>>,
    shape: Option<Shape>,
    mean: Vec<f32>,
    std: Vec<f32>,
    target: String,
    task: AnyTask,
    #[serde(default)]
    series: Series,
}

impl TryFrom<Written> for Schema {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { layout, features, shape, mean, std, target, task, series } = written;
        let layout = match (layout, features) {
            (Some(layout), None) => layout,
            (None, Some(names)) => Layout::of_inputs(names, shape),
            _ => return Err("expected the `layout` of the inputs".to_owned()),
        };
        let inputs = layout.checked_len().filter(|&inputs| inputs > 0);
        if inputs != Some(mean.len()) || mean.len() != std.len() {
            return Err(format!(
                "found {} means and {} deviations, expected one for every value of the layout",
                mean.len(),
                std.len()
            ));
        }
        let usable = |(mean, std): (&f32, &f32)| mean.is_finite() && std.is_finite() && *std > 0.0;
        if !mean.iter().zip(&std).all(usable) {
            return Err("found a mean or deviation that no data have".to_owned());
        }
        Ok(Self { layout, mean, std, target, task, series })
    }
}

impl Schema {
    /// Learns normalisation from the training rows `rows`: of each feature, or of each channel of a map over
    /// all of its positions. `centre`, one value a channel, is what a network has to be fed instead of the
    /// means: 0 is then there, and the deviations are from it.
    ///
    /// # Errors
    /// All features constant, or a constant target; another number of channels than of centres.
    pub fn learn(
        data: &Dataset,
        rows: &[usize],
        centre: Option<&[f32]>,
    ) -> Result<Self, TableError> {
        let Dataset { table, layout, raw, target, target_name, .. } = data;
        let (width, channels) = (layout.len(), layout.shape().channels);
        if let Some(centre) = centre.filter(|centre| centre.len() != channels) {
            let found = centre.len();
            return Err(table.unusable(format!(
                "the imported network reads {found} channels, the data have {channels}"
            )));
        }
        let mut constant = 0;
        let of_channels = moments(raw, rows, width, channels).into_iter().enumerate();
        let (means, stds): (Vec<f32>, Vec<f32>) = of_channels
            .map(|(channel, (mean, std))| {
                let varies = varies(mean, std);
                constant += usize::from(!varies);
                let zero = centre.map_or(mean, |centre| centre[channel]);
                (zero, if varies { std.hypot(mean - zero) } else { 1.0 })
            })
            .unzip();
        if let Some(channel) = stds.iter().position(|&std| std < SMALLEST_STD) {
            return Err(table.unusable(format!(
                "`{}` varies by {:e} in the training rows, expected at least {SMALLEST_STD:e}: give it in a \
                 smaller unit",
                excerpt(&layout.names()[channel]),
                stds[channel]
            )));
        }
        if constant == channels {
            let what = if layout.map().is_some() { "channel" } else { "feature column" };
            return Err(
                table.unusable(format!("every {what} is constant: there is nothing to learn from"))
            );
        }
        let every = |channels: Vec<f32>| channels.into_iter().cycle().take(width).collect();
        let task = match target {
            Target::Classes(_, classes) => Classification { classes: classes.clone() }.into(),
            Target::Values(values) => {
                let (mean, std) = moments(&values.clone().into(), rows, 1, 1)[0];
                if !varies(mean, std) {
                    let message =
                        format!("the target `{target_name}` is constant in the training rows");
                    return Err(table.unusable(message));
                }
                Regression { mean, std }.into()
            }
        };
        Ok(Self {
            layout: layout.clone(),
            mean: every(means),
            std: every(stds),
            target: target_name.clone(),
            task,
            series: data.series.clone(),
        })
    }

    /// The input values that did not vary in the training rows `rows` of `x`; none of a map, where pixels that are
    /// always dark are no mistake.
    pub fn constant_inputs(&self, x: &Values, rows: &[usize]) -> Vec<usize> {
        if self.layout.map().is_some() {
            return Vec::new();
        }
        let inputs = self.layout.len();
        let moments = moments(x, rows, inputs, inputs).into_iter().enumerate();
        let constant = moments.filter(|&(_, (mean, std))| !varies(mean, std));
        constant.map(|(input, _)| input).collect()
    }

    /// Standardises raw features `[n, features]` and clips them to ± [`INPUT_CLIP`].
    pub fn standardise(&self, raw: &[f32]) -> Vec<f32> {
        let mut x = raw.to_vec();
        x.chunks_exact_mut(self.mean.len()).for_each(|row| standardise(row, &self.mean, &self.std));
        x
    }

    /// Raw features of standardised rows `[n, features]`.
    pub fn original(&self, standardised: &[f32]) -> Vec<f32> {
        let normalisation = self.mean.iter().zip(&self.std).cycle();
        standardised.iter().zip(normalisation).map(|(&x, (&mean, &std))| mean + std * x).collect()
    }

    /// Raw rows `[rows, features]` uniform in a box of ± [`INPUT_CLIP`] standard deviations round the
    /// training rows: as far as inputs are told apart.
    pub fn foreign(&self, rows: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let unit = Uniform::new(-INPUT_CLIP, INPUT_CLIP).expect("the box is not empty");
        let columns: Vec<_> = self.mean.iter().zip(&self.std).collect();
        let each = (0..rows).flat_map(|_| &columns);
        each.map(|(mean, std)| *mean + *std * unit.sample(rng)).collect()
    }

    /// Standardised rows with their targets, no group among them.
    pub fn rows(&self, raw: &Arc<Values>, targets: &Targets) -> Rows {
        let targets = self.task.standardise(targets);
        Rows { x: Inputs::of_raw(raw.clone(), &self.mean, &self.std), targets, groups: None }
    }

    /// Raw features `[n, features]` of every row of a file, or of windows cut from it. Its column `target`, if
    /// there is one, is ignored.
    ///
    /// # Errors
    /// The file cannot be read, or holds other features than the model was trained with.
    pub fn read(&self, source: &Source, target: &str) -> Result<Arc<Values>, TableError> {
        let (series, table) = self.table(source, target, false)?;
        self.layout.read(&table, &series.besides(target))
    }

    /// Reads the raw features and the targets of a file to evaluate on, original units.
    ///
    /// # Errors
    /// The errors of [`Self::read`]; no column `target`, a class that training did not see, or a field that is no
    /// number.
    pub fn read_labelled(
        &self,
        source: &Source,
        target: &str,
    ) -> Result<(Arc<Values>, Targets), TableError> {
        let (series, table) = self.table(source, target, true)?;
        let targets = match &self.task {
            AnyTask::Regression(_) => Target::read_values(&table, target)?,
            AnyTask::Classification(Classification { classes }) => {
                Target::read_classes(&table, target, classes)?
            }
        };
        Ok((self.layout.read(&table, &series.besides(target))?, targets))
    }

    /// Table of a file, cut into windows if those were trained on, and the groups and windows that it was read by:
    /// the source's own, else the remembered ones.
    fn table(
        &self,
        source: &Source,
        target: &str,
        labelled: bool,
    ) -> Result<(Series, Table), TableError> {
        let series = source.series.or(&self.series);
        let table = source.table(target)?;
        series.check(target).map_err(|message| table.unusable(message))?;
        if table.numbers().is_some() {
            return Ok((series, table));
        }
        let (expected, channels) = match &self.layout {
            Layout::Windows { steps, channels } if !self.layout.lies_in(&table) => {
                (*steps, channels)
            }
            Layout::Columns(_) | Layout::Image(_) if series.window.is_some() => {
                let message = "`window`: the model was not trained on windows";
                return Err(table.unusable(message.to_owned()));
            }
            _ => return Ok((series, table)),
        };
        if series.window != Some(expected) {
            let found =
                series.window.map_or("none".to_owned(), |found| format!("`window` {found}"));
            return Err(table.unusable(format!(
                "the model predicts windows of {expected} rows: found {found}, expected `window` {expected}"
            )));
        }
        let label =
            (self.task.classifies() && labelled).then(|| table.column(target)).transpose()?;
        let cut = windows(&table, channels, &series, target, label)?;
        info!(path = %source.path.display(), "{}", cut.note);
        Ok((series, cut.table))
    }
}

/// Mean and standard deviation (divisor n) of every channel of the named rows of `raw: [n, width]`, in which
/// the values of all channels take turns.
pub(super) fn moments(
    raw: &Values,
    rows: &[usize],
    width: usize,
    channels: usize,
) -> Vec<(f32, f32)> {
    let mean_of = |value: &dyn Fn(usize, f32) -> f64| -> Vec<f64> {
        let mut sums = vec![0.0; channels];
        for &row in rows {
            for values in raw.row(row, width).chunks_exact(channels) {
                let values = values.iter().enumerate();
                sums.iter_mut().zip(values).for_each(|(sum, (of, &x))| *sum += value(of, x));
            }
        }
        let count = (rows.len() * width / channels) as f64;
        sums.into_iter().map(|sum| sum / count).collect()
    };
    let means = mean_of(&|_, x| f64::from(x));
    let variances = mean_of(&|of, x| (f64::from(x) - means[of]).powi(2));
    let each = means.iter().zip(variances);
    each.map(|(&mean, variance)| (mean as f32, variance.sqrt() as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::table_from;
    use super::*;

    #[test]
    fn records_of_version_0_1_are_read() {
        let read = |inputs: &str, values: usize| {
            let numbers = vec!["1.5"; values].join(",");
            let task = "{\"regression\":{\"mean\":0,\"std\":1}}";
            let text = format!(
                "{{{inputs},\"mean\":[{numbers}],\"std\":[{numbers}],\"target\":\"y\",\"task\":{task}}}"
            );
            serde_json::from_str::<Schema>(&text).map_err(|error| error.to_string())
        };
        let layout = |inputs: &str, values| read(inputs, values).expect("readable").layout;
        let columns = layout("\"features\":[\"c=blue\",\"c=red\",\"x\"]", 3);
        let table = table_from("x,c\n7,red\n").expect("a table");
        assert_eq!(columns.read(&table, &[]).expect("a row").to_floats(), [0.0, 1.0, 7.0]);
        let map = Shape { height: 1, width: 2, channels: 1 };
        let shape = "\"shape\":{\"height\":1,\"width\":2,\"channels\":1}";
        let image = layout(&format!("\"features\":[\"y0x0\",\"y0x1\"],{shape}"), 2);
        assert_eq!(image, Layout::Image(map));
        let windows = layout(&format!("\"features\":[\"a@0\",\"a@1\"],{shape}"), 2);
        assert_eq!((windows.map(), windows.channel_names()), (Some(map), vec!["a".to_owned()]));
        // What this version writes comes back, and what does not fit together is refused.
        for layout in [columns, image, windows] {
            let json = serde_json::to_string(&layout).expect("it has a form");
            let read = |values| read(&format!("\"layout\":{json}"), values);
            assert_eq!(read(layout.len()).expect("readable").layout, layout);
            assert!(read(4).expect_err("other lengths").contains("found 4 means"));
        }
        assert!(read("\"seed\":1", 1).expect_err("nothing").contains("expected the `layout`"));
        let endless =
            "\"layout\":{\"image\":{\"height\":4294967296,\"width\":4294967296,\"channels\":1}}";
        assert!(read(endless, 1).expect_err("too large").contains("found 1 means"));
    }
}
