//! Arrays and names borrowed from the file: little-endian bytes, read element by element.

use serde::{Deserialize, Serialize};

/// Declares a view of little-endian elements.
macro_rules! view {
    ($(#[$doc:meta])* $name:ident, $element:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name<'a>(#[serde(borrow)] &'a [u8]);

        impl<'a> $name<'a> {
            /// Size of one element, bytes.
            pub const ELEMENT: usize = core::mem::size_of::<$element>();

            /// Views `bytes`, the elements' little-endian bytes one after another
            /// (`to_le_bytes` of each). Bytes after the last whole element are an error when
            /// the artifact is checked.
            pub const fn new(bytes: &'a [u8]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn bytes(&self) -> &'a [u8] {
                self.0
            }

            /// Number of whole elements.
            pub const fn len(&self) -> usize {
                self.0.len() / Self::ELEMENT
            }

            /// Whether there is no element.
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The element at `index`.
            pub fn get(&self, index: usize) -> Option<$element> {
                self.iter().nth(index)
            }

            /// The elements in order.
            pub fn iter(&self) -> impl ExactSizeIterator<Item = $element> + Clone + use<'a> {
                let elements = self.0.as_chunks::<{ core::mem::size_of::<$element>() }>().0.iter();
                elements.map(|&bytes| <$element>::from_le_bytes(bytes))
            }

            /// The first `len` elements and the rest; all and none where there are fewer.
            pub fn split_at(&self, len: usize) -> (Self, Self) {
                let bytes = len.saturating_mul(Self::ELEMENT);
                let (first, rest) = self.0.split_at_checked(bytes).unwrap_or((self.0, &[]));
                (Self(first), Self(rest))
            }

            /// Elements `start .. start + len`, or as many of them as there are.
            pub fn slice(&self, start: usize, len: usize) -> Self {
                let from = start.saturating_mul(Self::ELEMENT);
                let rest = self.0.get(from..).unwrap_or_default();
                let bytes = len.saturating_mul(Self::ELEMENT);
                Self(rest.get(..bytes).unwrap_or(rest))
            }
        }
    };
}

view!(
    /// Bytes.
    U8s,
    u8
);
view!(
    /// Signed bytes.
    I8s,
    i8
);
view!(
    /// 16-bit signed integers.
    I16s,
    i16
);
view!(
    /// 32-bit floats.
    F32s,
    f32
);

impl<'a> I8s<'a> {
    /// The elements as a slice.
    pub fn as_slice(&self) -> &'a [i8] {
        bytemuck::must_cast_slice(self.0)
    }
}

/// Names separated by line feeds, which a name cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names<'a>(&'a str);

impl<'a> Names<'a> {
    /// Views names joined by `'\n'`; the empty string holds none.
    pub const fn new(joined: &'a str) -> Self {
        Self(joined)
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no name.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        // An array of one: the search for a `char` indexes a buffer, and the compiler cannot prove
        // that this never panics.
        let most = if self.is_empty() { 0 } else { usize::MAX };
        self.0.split(['\n']).take(most)
    }

    /// The name at `index`.
    pub fn get(&self, index: usize) -> Option<&'a str> {
        self.iter().nth(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_holds_no_name_and_a_line_feed_two() {
        let read = |joined| {
            let names = Names::new(joined);
            assert_eq!(names.is_empty(), names.iter().next().is_none());
            (names.len(), names.get(0), names.get(1))
        };
        assert_eq!(read(""), (0, None, None));
        assert_eq!(read("a"), (1, Some("a"), None));
        assert_eq!(read("\n"), (2, Some(""), Some("")));
        assert_eq!(read("a\n"), (2, Some("a"), Some("")));
    }
}
