//! Text from outside in messages: cut, and without effect on a terminal.

use std::fmt::Write;

/// Characters of a field or a name that a message shows.
const SHOWN: usize = 60;
/// Names that a message lists.
pub const LISTED: usize = 12;

/// The text with escapes such as `\u{1b}` for characters that a terminal obeys: control characters, and those
/// that change the direction of the text after them.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(character.escape_unicode());
            }
            character if character.is_control() => shown.extend(character.escape_default()),
            character => shown.push(character),
        }
    }
    shown
}

/// The text, printable, of which only the start is shown where it is long.
pub fn excerpt(text: &str) -> String {
    cut(text, SHOWN)
}

/// The first `most` characters of the text, printable, and how many more there are.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => printable(text),
        Some((end, _)) => {
            format!("{}… ({} bytes in all)", printable(&text[..end]), text.len())
        }
    }
}

/// Excerpts of names between backquotes, separated by commas: the first dozen, and how many more there are.
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    let mut shown = String::new();
    for (index, name) in names.iter().take(LISTED).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(shown, "{comma}`{}`", excerpt(name.as_ref()));
    }
    if let Some(more) = names.len().checked_sub(LISTED + 1) {
        let _ = write!(shown, " and {} more", more + 1);
    }
    shown
}

/// The names, those first that are spelled most like `name`.
pub fn nearest<'n>(name: &str, names: &'n [String]) -> Vec<&'n str> {
    let start =
        |text: &str| text.chars().take(SHOWN).flat_map(char::to_lowercase).collect::<String>();
    let wanted = start(name);
    let mut nearest: Vec<(usize, &str)> = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &start(name)), name.as_str()))
        .collect();
    nearest.sort_by_key(|&(distance, _)| distance);
    nearest.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_in_a_message() {
        assert_eq!(printable("a\x1b[31m\n\u{9b}µ\u{202e}"), "a\\u{1b}[31m\\n\\u{9b}µ\\u{202e}");
    }

    #[test]
    fn long_fields_and_lists_are_cut() {
        assert_eq!(excerpt("short"), "short");
        let long = excerpt(&"µ".repeat(1000));
        assert!(long.starts_with("µµ") && long.ends_with("µ… (2000 bytes in all)"), "{long}");
        assert_eq!(long.chars().filter(|&c| c == 'µ').count(), SHOWN);
        let names: Vec<String> = (0..LISTED + 3).map(|name| name.to_string()).collect();
        assert!(list(&names).ends_with("`11` and 3 more"), "{}", list(&names));
        assert_eq!(list(&names[..2]), "`0`, `1`");
    }

    #[test]
    fn the_nearest_name_comes_first() {
        let names = ["speed", "temperature", "label"].map(str::to_owned);
        assert_eq!(nearest("Lable", &names)[0], "label");
        assert_eq!(nearest("temprature", &names)[0], "temperature");
    }
}
