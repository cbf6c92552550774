//! Hidden layers as a configuration writes them: `[“conv 5x5x4”, “max 2”, 16]`.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use fiberwalk_formats::{MAX_LAYERS, MAX_MAP, MAX_WIDTH};

use super::{Activation, Architecture, Block, Pool, PoolKind, Shape, Window};

/// Most values of a convolution before its pooling. A pass keeps some rows of them.
const MAX_SUMS: usize = 64 * MAX_MAP;

/// A hidden layer, or pooling after one.
///
/// - `16`, `"16 relu"`: a dense layer of so many units.
/// - `"conv 5x5x4"`: a convolution of height, width and output channels; `"conv 5x4"`: as high as wide, of
///   a series its length. With `stride 2` or `2x1`, `padding 2`, `2x1` or `same` (an output a step),
///   `groups 4`, an activation, and `skip 1`: the output of layer 1 (the first is 0) is added before the
///   activation.
/// - `"max 2"`, `"average 2x1 stride 1"`: pooling of the layer before, by steps of the window's size unless
///   told otherwise; `"average"` alone: over the whole map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SpecText", into = "SpecText")]
pub enum LayerSpec {
    /// A dense layer.
    Dense {
        /// Units.
        units: usize,
        /// Another activation than the network's.
        activation: Option<Activation>,
    },
    /// A convolution.
    Convolution {
        /// Height and width of the window.
        size: Extent,
        /// Output channels.
        channels: usize,
        /// Steps of the window.
        stride: Extent,
        /// Zeros round the map.
        padding: Padding,
        /// Groups of channels.
        groups: usize,
        /// Layer whose output is added.
        skip: Option<usize>,
        /// Another activation than the network's.
        activation: Option<Activation>,
    },
    /// Pooling.
    Pool {
        /// Largest or mean.
        kind: PoolKind,
        /// Height and width of the window; none for the whole map.
        size: Option<Extent>,
        /// Steps of the window; none for its size.
        stride: Option<Extent>,
    },
}

/// One number for both dimensions of a map (of a series, for its length), or one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One number, down and to the right.
    Both(usize),
    /// Down, and to the right.
    Each(usize, usize),
}

/// Zeros round a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Equally many zeros on opposite sides.
    Sides(Extent),
    /// An output at every step of the stride.
    Same,
    /// Above, to the left, below, to the right.
    Four([usize; 4]),
}

/// [`LayerSpec`] in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of units or a text such as \"conv 5x5x4\"")]
enum SpecText {
    Units(usize),
    Text(String),
}

impl LayerSpec {
    /// Units of a dense layer or channels of a convolution; none of pooling.
    pub const fn units(&self) -> Option<usize> {
        match self {
            Self::Dense { units, .. } => Some(*units),
            Self::Convolution { channels, .. } => Some(*channels),
            Self::Pool { .. } => None,
        }
    }
}

impl From<usize> for LayerSpec {
    /// A dense layer.
    fn from(units: usize) -> Self {
        Self::Dense { units, activation: None }
    }
}

impl Extent {
    /// Down and to the right over `map`; `none` is what a series has down.
    const fn over(self, map: Shape, none: usize) -> [usize; 2] {
        match self {
            Self::Both(n) if map.height == 1 => [none, n],
            Self::Both(n) => [n, n],
            Self::Each(down, right) => [down, right],
        }
    }

    /// The shortest that is this over `map`.
    fn of(extent: [usize; 2], map: Shape, none: usize) -> Self {
        match Self::Both(extent[1]) {
            short if short.over(map, none) == extent => short,
            _ => Self::Each(extent[0], extent[1]),
        }
    }
}

impl Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both(n) => write!(f, "{n}"),
            Self::Each(down, right) => write!(f, "{down}x{right}"),
        }
    }
}

impl Display for LayerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, activation: &Option<Activation>| match activation {
            Some(activation) => write!(f, " {activation}"),
            None => Ok(()),
        };
        match self {
            Self::Dense { units, activation } => {
                write!(f, "{units}")?;
                named(f, activation)
            }
            Self::Convolution { size, channels, stride, padding, groups, skip, activation } => {
                write!(f, "conv {size}x{channels}")?;
                if *stride != Extent::Both(1) {
                    write!(f, " stride {stride}")?;
                }
                match padding {
                    Padding::Sides(Extent::Both(0)) => {}
                    Padding::Sides(sides) => write!(f, " padding {sides}")?,
                    Padding::Same => f.write_str(" padding same")?,
                    Padding::Four([top, left, bottom, right]) => {
                        write!(f, " padding {top}x{left}x{bottom}x{right}")?;
                    }
                }
                if *groups != 1 {
                    write!(f, " groups {groups}")?;
                }
                if let Some(skip) = skip {
                    write!(f, " skip {skip}")?;
                }
                named(f, activation)
            }
            Self::Pool { kind, size, stride } => {
                f.write_str(match kind {
                    PoolKind::Max => "max",
                    PoolKind::Average => "average",
                })?;
                if let Some(size) = size {
                    write!(f, " {size}")?;
                }
                match stride {
                    Some(stride) => write!(f, " stride {stride}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl FromStr for LayerSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |word: &str, expected: &str| format!("found {text:?}: {word:?} is not {expected}");
        let mut words = text.split_whitespace();
        let kind = words.next().unwrap_or_default();
        match kind {
            "conv" => {
                let given = words.next().unwrap_or_default();
                let positive = numbers(given).filter(|numbers| !numbers.contains(&0));
                let (size, channels) = match positive.as_deref() {
                    Some(&[size, channels]) => (Extent::Both(size), channels),
                    Some(&[height, width, channels]) => (Extent::Each(height, width), channels),
                    _ => {
                        return Err(wrong(
                            given,
                            "height x width x channels above 0, such as 5x5x4",
                        ));
                    }
                };
                let (mut stride, mut padding) = (Extent::Both(1), Padding::Sides(Extent::Both(0)));
                let (mut groups, mut skip, mut activation) = (1, None, None);
                while let Some(word) = words.next() {
                    let mut value = || words.next().unwrap_or_default();
                    match word {
                        "stride" => {
                            stride = extent(value())
                                .ok_or_else(|| wrong(word, "followed by numbers above 0"))?
                        }
                        "groups" => {
                            groups = count(value())
                                .ok_or_else(|| wrong(word, "followed by a number above 0"))?
                        }
                        "skip" => {
                            skip =
                                Some(value().parse().map_err(|_| {
                                    wrong(word, "followed by the number of a layer")
                                })?)
                        }
                        "padding" => {
                            let given = value();
                            padding = match (given, numbers(given).as_deref()) {
                                ("same", _) => Padding::Same,
                                (_, Some(&[n])) => Padding::Sides(Extent::Both(n)),
                                (_, Some(&[down, right])) => {
                                    Padding::Sides(Extent::Each(down, right))
                                }
                                (_, Some(&[a, b, c, d])) => Padding::Four([a, b, c, d]),
                                _ => return Err(wrong(given, "numbers or \"same\"")),
                            };
                        }
                        word => {
                            let known = "stride, padding, groups, skip or an activation";
                            activation = Some(word.parse().map_err(|()| wrong(word, known))?);
                        }
                    }
                }
                Ok(Self::Convolution { size, channels, stride, padding, groups, skip, activation })
            }
            "max" | "average" => {
                let kind = if kind == "max" { PoolKind::Max } else { PoolKind::Average };
                let (mut size, mut stride) = (None, None);
                while let Some(word) = words.next() {
                    match word {
                        "stride" => {
                            let given = words.next().unwrap_or_default();
                            let known = "numbers above 0";
                            stride = Some(extent(given).ok_or_else(|| wrong(given, known))?);
                        }
                        word => {
                            let known = "a window's size above 0, such as 2 or 2x2";
                            size = Some(extent(word).ok_or_else(|| wrong(word, known))?);
                        }
                    }
                }
                Ok(Self::Pool { kind, size, stride })
            }
            _ => {
                let known = "a number of units, \"conv\", \"max\" or \"average\"";
                let units = count(kind).ok_or_else(|| wrong(kind, known))?;
                let activation = match words.next() {
                    None => None,
                    Some(word) => Some(word.parse().map_err(|()| wrong(word, "an activation"))?),
                };
                match words.next() {
                    None => Ok(Self::Dense { units, activation }),
                    Some(word) => Err(wrong(word, "expected here")),
                }
            }
        }
    }
}

/// Whole numbers with an x between them.
fn numbers(text: &str) -> Option<Vec<usize>> {
    text.split('x').map(|number| number.parse().ok()).collect()
}

fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&n| n > 0)
}

fn extent(text: &str) -> Option<Extent> {
    match *numbers(text)? {
        [n] if n > 0 => Some(Extent::Both(n)),
        [down, right] if down * right > 0 => Some(Extent::Each(down, right)),
        _ => None,
    }
}

impl TryFrom<SpecText> for LayerSpec {
    type Error = String;

    fn try_from(text: SpecText) -> Result<Self, String> {
        match text {
            SpecText::Units(units) => units.to_string().parse(),
            SpecText::Text(text) => text.parse(),
        }
    }
}

impl From<LayerSpec> for SpecText {
    fn from(spec: LayerSpec) -> Self {
        match spec {
            LayerSpec::Dense { units, activation: None } => Self::Units(units),
            spec => Self::Text(spec.to_string()),
        }
    }
}

impl Architecture {
    /// The network of these hidden layers over inputs of one shape.
    ///
    /// # Errors
    /// A layer does not fit the map before it; the message names both.
    pub fn of(
        input: Shape,
        hidden: &[LayerSpec],
        activation: Activation,
        outputs: usize,
    ) -> Result<Self, String> {
        let mut network = Self { input, blocks: Vec::new() };
        for spec in hidden {
            network.append(spec, activation).map_err(|message| format!("{spec}: {message}"))?;
        }
        network.blocks.push(Block::dense(outputs, Activation::Identity));
        network.check_limits()?;
        Ok(network)
    }

    /// Checks an architecture that comes from a file: it is one that [`Self::of`] makes.
    ///
    /// # Errors
    /// Numbers out of range, or layers that do not fit together; the message names what was found.
    pub fn check(&self) -> Result<(), String> {
        let Shape { height, width, channels } = self.input;
        let length = height.checked_mul(width).and_then(|map| map.checked_mul(channels));
        if !length.is_some_and(|length| (1..=MAX_MAP).contains(&length)) {
            return Err(format!("found inputs of {}, expected 1 to {MAX_MAP} values", self.input));
        }
        let depth = self.depth();
        if !(1..=MAX_LAYERS).contains(&depth) {
            return Err(format!("found {depth} layers, expected 1 to {MAX_LAYERS}"));
        }
        // Each against the limits before another is computed from it, so that no product overflows.
        let mut network = Self { input: self.input, blocks: Vec::with_capacity(depth) };
        for (index, block) in self.blocks.iter().enumerate() {
            let wrong = |number| format!("layer {index}: found {number}, out of range");
            let window = block.window.as_ref();
            let bytes = window.map(|w| [w.size, w.stride, w.before, w.after].concat());
            let divisors = window.map(|w| [&w.size[..], &w.stride, &[w.groups]].concat());
            let pool = block.pool.map(|pool| [pool.size, pool.stride].concat());
            let positive =
                [vec![block.outputs], divisors.unwrap_or_default(), pool.unwrap_or_default()];
            if let Some(number) = positive.concat().into_iter().find(|n| !(1..=MAX_MAP).contains(n))
            {
                return Err(wrong(number));
            }
            let large = |&number: &usize| number > u8::MAX.into();
            if let Some(number) = bytes.unwrap_or_default().into_iter().find(large) {
                return Err(wrong(number));
            }
            network.blocks.push(*block);
            network.check_limits()?;
        }
        let hidden = self.hidden(Activation::Identity);
        let said = Self::of(self.input, &hidden, Activation::Identity, self.outputs())?;
        if said != *self {
            return Err("found layers that no configuration says".to_owned());
        }
        Ok(())
    }

    /// Whether every map and fan-in is within what a board computes with.
    fn check_limits(&self) -> Result<(), String> {
        if let Some(map) = self.maps().iter().find(|map| map.len() > MAX_MAP) {
            return Err(format!("found a map of {map}, expected at most {MAX_MAP} values"));
        }
        let mut sums = self.placed_blocks().into_iter().map(|placed| placed.sums);
        if let Some(map) = sums.find(|map| map.len() > MAX_SUMS) {
            return Err(format!("found {map} before pooling, expected at most {MAX_SUMS} values"));
        }
        match self.layers().enumerate().find(|(_, layer)| layer.inputs > MAX_WIDTH) {
            None => Ok(()),
            Some((index, layer)) => Err(format!(
                "a unit of layer {index} reads {} values, expected at most {MAX_WIDTH}: a convolution \
                 reads those under its window alone",
                layer.inputs
            )),
        }
    }

    fn append(&mut self, spec: &LayerSpec, default: Activation) -> Result<(), String> {
        let maps = self.maps();
        let map = maps[self.depth()];
        match *spec {
            LayerSpec::Dense { units, activation } => {
                self.blocks.push(Block::dense(units, activation.unwrap_or(default)));
            }
            LayerSpec::Convolution {
                size,
                channels,
                stride,
                padding,
                groups,
                skip,
                activation,
            } => {
                let size = size.over(map, 1);
                let [before, after] = match padding {
                    Padding::Sides(sides) => [sides.over(map, 0); 2],
                    Padding::Same => [size.map(|n| (n - 1) / 2), size.map(|n| n / 2)],
                    Padding::Four([top, left, bottom, right]) => [[top, left], [bottom, right]],
                };
                let stride = stride.over(map, 1);
                let window = Window { size, stride, before, after, groups };
                if !map.channels.is_multiple_of(groups) || !channels.is_multiple_of(groups) {
                    return Err(format!(
                        "{groups} groups do not share out {} input and {channels} output channels",
                        map.channels
                    ));
                }
                let block = Block {
                    outputs: channels,
                    window: Some(window),
                    skip,
                    activation: activation.unwrap_or(default),
                    pool: None,
                };
                // Numbers of a window are bytes in an artifact.
                let numbers = [size, stride, before, after].concat();
                if numbers.iter().any(|&number| number > u8::MAX.into()) {
                    return Err(format!("found numbers above {}", u8::MAX));
                }
                if before
                    .iter()
                    .chain(&after)
                    .zip(size.iter().cycle())
                    .any(|(pad, size)| pad >= size)
                {
                    return Err("the padding is as wide as the window".to_owned());
                }
                let shape = block.affine_shape(map);
                if shape.is_empty() {
                    return Err(format!("the window is larger than the map before it, {map}"));
                }
                if let Some(skip) = skip {
                    let added = maps.get(skip.saturating_add(1)).filter(|&&added| added == shape);
                    added.ok_or_else(|| {
                        format!("skip {skip} is no earlier layer with an output of {shape}")
                    })?;
                }
                self.blocks.push(block);
            }
            LayerSpec::Pool { kind, size, stride } => {
                let size = size.map_or([map.height, map.width], |size| size.over(map, 1));
                let stride = stride.map_or(size, |stride| stride.over(map, 1));
                let block = self
                    .blocks
                    .last_mut()
                    .filter(|block| block.window.is_some() && block.pool.is_none());
                let block = block.ok_or("pooling follows a convolution")?;
                let pool = Pool { kind, size, stride };
                if pool.over(map).is_empty() {
                    return Err(format!("the window is larger than the map before it, {map}"));
                }
                block.pool = Some(pool);
            }
        }
        Ok(())
    }

    /// The hidden layers, every activation named that is not `activation`.
    pub fn hidden(&self, activation: Activation) -> Vec<LayerSpec> {
        let other = |own: Activation| (own != activation).then_some(own);
        let blocks = self.placed_blocks();
        let specs = blocks[..self.depth() - 1].iter().flat_map(|placed| {
            let (block, map) = (placed.block, placed.input);
            let layer = match block.window {
                None => {
                    LayerSpec::Dense { units: block.outputs, activation: other(block.activation) }
                }
                Some(Window { size, stride, before, after, groups }) => LayerSpec::Convolution {
                    // Of an image both sides are named, since "conv 5x4" reads like another window.
                    size: match map.height {
                        1 => Extent::of(size, map, 1),
                        _ => Extent::Each(size[0], size[1]),
                    },
                    channels: block.outputs,
                    stride: Extent::of(stride, map, 1),
                    padding: match before == after {
                        true => Padding::Sides(Extent::of(before, map, 0)),
                        false => Padding::Four([before[0], before[1], after[0], after[1]]),
                    },
                    groups,
                    skip: block.skip,
                    activation: other(block.activation),
                },
            };
            let pool = block.pool.map(|Pool { kind, size, stride }| LayerSpec::Pool {
                kind,
                size: Some(Extent::of(size, placed.sums, 1)),
                stride: (stride != size).then_some(Extent::of(stride, placed.sums, 1)),
            });
            [Some(layer), pool].into_iter().flatten()
        });
        specs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_and_written_alike() {
        for text in [
            "16",
            "16 relu",
            "conv 5x4",
            "conv 5x5x4",
            "conv 3x3x8 stride 2 padding same groups 8 skip 1 hard-swish",
            "conv 3x3x8 stride 2x1 padding 1x2x3x4",
            "max 2",
            "average",
            "average 2x3 stride 1",
        ] {
            assert_eq!(text.parse::<LayerSpec>().expect(text).to_string(), text);
        }
        for (text, said) in [
            ("", "a number of units"),
            ("0", "a number of units"),
            ("16 sigmoid", "\"sigmoid\" is not an activation"),
            ("conv 5", "height x width x channels"),
            ("conv 5x5x0", "above 0"),
            ("conv 3x3x4 stride 0", "\"stride\""),
            ("conv 3x3x4 pad 1", "\"pad\" is not stride"),
            ("max 2xa", "\"2xa\""),
        ] {
            let message = text.parse::<LayerSpec>().expect_err(text);
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn an_architecture_out_of_a_file_is_checked() {
        let specs = ["conv 3x3x8 padding 1", "max 2", "conv 3x3x8 groups 2", "average"];
        let specs = specs.map(|text| text.parse::<LayerSpec>().expect("a layer"));
        let image = Shape { height: 12, width: 9, channels: 2 };
        let whole = Architecture::of(image, &specs, Activation::Relu, 3).expect("it fits");
        assert_eq!(whole.check(), Ok(()));
        let changed = |change: &dyn Fn(&mut Architecture)| {
            let mut network = whole.clone();
            change(&mut network);
            network.check().expect_err("something is out of range")
        };
        let window = |change: &dyn Fn(&mut Window)| {
            changed(&|network| change(network.blocks[0].window.as_mut().expect("a convolution")))
        };
        for (message, said) in [
            (changed(&|network| network.input.height = usize::MAX), "found inputs of"),
            (changed(&|network| network.input.channels = 0), "found inputs of"),
            (changed(&|network| network.blocks.clear()), "found 0 layers"),
            (changed(&|network| network.blocks = network.blocks.repeat(4)), "found 12 layers"),
            (changed(&|network| network.blocks[0].outputs = 0), "layer 0: found 0"),
            (changed(&|network| network.blocks[2].outputs = 1 << 60), "layer 2: found"),
            (changed(&|network| network.blocks[1].skip = Some(usize::MAX)), "no earlier layer"),
            (changed(&|network| network.blocks.truncate(2)), "no configuration says"),
            (changed(&|network| network.blocks[0].pool = network.blocks[1].pool), ""),
            (window(&|window| window.groups = 0), "layer 0: found 0"),
            (window(&|window| window.stride[1] = 0), "layer 0: found 0"),
            (window(&|window| window.size = [0, 3]), "layer 0: found 0"),
            (window(&|window| window.size = [255, 3]), ""),
            (window(&|window| window.before[0] = usize::MAX), "layer 0: found"),
            (window(&|window| window.groups = 3), ""),
        ] {
            assert!(message.contains(said), "expected {said}, found {message}");
        }
    }

    #[test]
    fn maps_follow_from_the_layers() {
        let specs = |texts: &[&str]| -> Vec<LayerSpec> {
            texts.iter().map(|text| text.parse().expect("a layer")).collect()
        };
        let image = Shape { height: 28, width: 28, channels: 1 };
        let hidden = specs(&["conv 5x5x4", "max 2", "conv 5x5x4", "max 2", "16", "10", "10"]);
        let network = Architecture::of(image, &hidden, Activation::Tanh, 10).expect("it fits");
        assert_eq!(network.parameters(), 1938);
        let lengths: Vec<usize> = network.maps().iter().map(Shape::len).collect();
        assert_eq!(lengths, [784, 576, 64, 16, 10, 10, 10]);
        let again =
            Architecture::of(image, &network.hidden(Activation::Tanh), Activation::Tanh, 10);
        assert_eq!(again, Ok(network));

        let series = Shape { height: 1, width: 100, channels: 6 };
        let hidden = specs(&[
            "conv 5x8 stride 2 padding same relu",
            "max 2",
            "conv 3x8 padding same relu skip 0",
            "average",
        ]);
        let network = Architecture::of(series, &hidden, Activation::Relu, 4).expect("it fits");
        let maps: Vec<String> = network.maps().iter().map(Shape::to_string).collect();
        assert_eq!(maps, ["1 × 100 × 6", "1 × 25 × 8", "1 × 1 × 8", "1 × 1 × 4"]);

        for (hidden, said) in [
            (&["conv 29x29x1"][..], "larger than the map before it, 28 × 28 × 1"),
            (&["conv 3x3x4 groups 2"], "2 groups do not share out 1 input"),
            (&["max 2"], "pooling follows a convolution"),
            (&["conv 2x2x4 padding 2"], "as wide as the window"),
            (&["conv 3x3x8 padding 1"], "a unit of layer 1 reads 6272 values"),
            (&["conv 1x1x30000", "average"], "found 28 × 28 × 30000 before pooling"),
            (&["conv 5x5x4", "conv 5x5x4 skip 18446744073709551615"], "no earlier layer"),
            (
                &["conv 5x5x4", "conv 5x5x4 skip 0"],
                "no earlier layer with an output of 20 × 20 × 4",
            ),
        ] {
            let message = Architecture::of(image, &specs(hidden), Activation::Tanh, 2);
            let message = message.expect_err("it does not fit");
            assert!(message.contains(said), "{message}");
        }
    }
}
