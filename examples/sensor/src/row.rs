//! From a line of text to the network's input.

use fiberwalk_runtime::{Model, Names, Shape};

/// The values of an input, and what they are called.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    len: usize,
    /// The map that they are, if they are one.
    map: Option<Shape>,
    /// Names of features, or of a map's channels.
    names: Names<'a>,
}

impl<'a> Inputs<'a> {
    /// Those of a model.
    pub fn of(model: &Model<'a>) -> Self {
        let map = model.map();
        let names = if map.is_some() { model.channels() } else { model.features() };
        Self { len: model.input_len(), map, names }
    }

    /// Reads one number a value. A message names the field, from 1, and what is wrong with it.
    pub fn read(self, line: &str) -> Result<Vec<f32>, String> {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let (found, expected) = (fields.len(), self.len);
        if found != expected {
            return Err(format!("found {found} fields, expected {expected}"));
        }
        let number = |(index, field): (usize, &str)| match field.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(format!(
                "field {} ({}): found `{field}`, expected a finite number",
                index + 1,
                self.name(index)
            )),
        };
        fields.into_iter().enumerate().map(number).collect()
    }

    /// What a value is called: a feature, or its place in the map.
    fn name(self, index: usize) -> String {
        let Some(Shape { width, channels, .. }) = self.map else {
            return format!("`{}`", self.names.get(index).unwrap_or_default());
        };
        let (width, channels) = (usize::from(width), usize::from(channels));
        let (position, channel) = (index / channels, index % channels);
        let place = format!("row {}, column {}", position / width, position % width);
        match self.names.get(channel) {
            Some(name) => format!("{place}, `{name}`"),
            None => format!("{place}, channel {channel}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: Inputs<'_> = Inputs { len: 2, map: None, names: Names::new("length\nwidth") };

    #[test]
    fn numbers_in_any_notation() {
        assert_eq!(FEATURES.read(" 1.5,\t-2e3 \r"), Ok(vec![1.5, -2000.0]));
    }

    #[test]
    fn bad_rows_say_which_field() {
        let cases = [
            ("1", "found 1 fields, expected 2"),
            ("", "found 1 fields, expected 2"),
            ("1,2,", "found 3 fields, expected 2"),
            ("1,x", "field 2 (`width`): found `x`, expected a finite number"),
            (",1", "field 1 (`length`): found ``, expected a finite number"),
            ("NaN,1", "field 1 (`length`): found `NaN`, expected a finite number"),
            ("1,1e99", "field 2 (`width`): found `1e99`, expected a finite number"),
        ];
        for (line, message) in cases {
            assert_eq!(FEATURES.read(line), Err(message.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_map_has_a_field_for_every_value() {
        let map = Some(Shape { height: 2, width: 2, channels: 3 });
        let image = Inputs { len: 12, map, names: Names::new("") };
        assert_eq!(image.read("1,2,3,4,5,6,7,8,9,10,11,12").map(|row| row.len()), Ok(12));
        let wrong = "1,2,3,4,5,6,7,8,9,10,x,12";
        let expected = "field 11 (row 1, column 1, channel 1): found `x`, expected a finite number";
        assert_eq!(image.read(wrong), Err(expected.to_owned()));
        let named = Inputs { names: Names::new("r\ng\nb"), ..image };
        assert!(named.read(wrong).is_err_and(|message| message.contains("column 1, `g`)")));
        assert_eq!(image.read("1,2,3"), Err("found 3 fields, expected 12".to_owned()));
    }
}
