//! Numbers from `fiberwalk.h`, so that they are written down once.

const HEADER: &[u8] = include_bytes!("../fiberwalk.h");

/// The decimal number that follows the first `before` in the header. Evaluated while compiling:
/// does not compile if there is none.
pub const fn number(before: &str) -> usize {
    let before = before.as_bytes();
    let mut start = 0;
    while !matches_at(start, before) {
        start += 1;
    }
    let mut at = start + before.len();
    assert!(HEADER[at].is_ascii_digit(), "expected a number in fiberwalk.h");
    let mut number = 0;
    while HEADER[at].is_ascii_digit() {
        number = 10 * number + (HEADER[at] - b'0') as usize;
        at += 1;
    }
    number
}

const fn matches_at(start: usize, text: &[u8]) -> bool {
    assert!(start + text.len() < HEADER.len(), "a name is missing in fiberwalk.h");
    let mut index = 0;
    while index < text.len() && HEADER[start + index] == text[index] {
        index += 1;
    }
    index == text.len()
}
