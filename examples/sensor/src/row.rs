//! From a line of text to the network's input.

/// One number a feature. A message names the field, from 1, and what is wrong with it.
pub fn read<'a>(line: &str, features: impl Iterator<Item = &'a str>) -> Result<Vec<f32>, String> {
    let features: Vec<&str> = features.collect();
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let (found, expected) = (fields.len(), features.len());
    if found != expected {
        return Err(format!("found {found} fields, expected {expected}"));
    }
    let named = (1..).zip(features.iter().zip(fields));
    named
        .map(|(number, (name, field))| match field.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => {
                Err(format!("field {number} (`{name}`): found `{field}`, expected a finite number"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::read;

    const FEATURES: [&str; 2] = ["length", "width"];

    #[test]
    fn numbers_in_any_notation() {
        assert_eq!(read(" 1.5,\t-2e3 \r", FEATURES.into_iter()), Ok(vec![1.5, -2000.0]));
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
            assert_eq!(read(line, FEATURES.into_iter()), Err(message.to_owned()), "{line}");
        }
    }
}
