//! The hash that a file of a run carries of itself: whatever changed the file since is found where it is read.
//!
//! A sealed file has near its start the version that wrote it and, behind [`MARK`], the SHA-256 of all its
//! bytes, its own digits taken as zeros. It lies in the file itself, so that a power loss cannot leave one
//! without the other.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

/// Name of the version that wrote a file.
const WRITER: &str = "fiberwalk";
/// Version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Name of the hash.
const MARK: &str = "file_sha256";
/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;
/// Digits of a hash that are shown.
const SHOWN: usize = 12;
/// The hash ends before so many bytes of a file: two short fields come before it at most.
const HEAD: usize = 256;
/// Bytes that are hashed at once.
const CHUNK: usize = 1 << 18;

/// Names and values of what seals a file, for a header of named texts: the hash is blank until the file is
/// whole.
pub(crate) fn fields() -> [(&'static str, String); 2] {
    [(WRITER, VERSION.to_owned()), (MARK, "0".repeat(DIGITS))]
}

/// These fields as the first lines of a JSON object.
pub(crate) fn json_lines() -> String {
    fields().map(|(name, value)| format!("  \"{name}\": \"{value}\",\n")).concat()
}

/// These fields as a comment in TOML.
pub(crate) fn toml_line() -> String {
    let [version, hash] = fields().map(|(name, value)| format!("{name} {value}"));
    format!("# {version}, {hash}\n")
}

/// Where a file that starts with `head` has the digits of its hash.
fn place(head: &[u8]) -> Option<Range<usize>> {
    let start = value_of(MARK, head)?;
    let digits = head.get(start..start + DIGITS)?;
    digits.iter().all(u8::is_ascii_hexdigit).then_some(start..start + DIGITS)
}

/// Where the value that `head` has under a name starts.
fn value_of(name: &str, head: &[u8]) -> Option<usize> {
    let named = head.windows(name.len()).position(|window| window == name.as_bytes())?;
    let after = named + name.len();
    let between = head[after..].iter().take_while(|byte| b"\": ".contains(byte)).count();
    Some(after + between)
}

/// The version that wrote a file that starts with `head`, if it says so.
pub(crate) fn writer(head: &[u8]) -> Option<String> {
    let version = &head[value_of(WRITER, head)?..];
    let of_version = |byte: &&u8| byte.is_ascii_alphanumeric() || b".+-".contains(byte);
    let version: Vec<u8> = version.iter().take_while(of_version).take(SHOWN).copied().collect();
    String::from_utf8(version).ok().filter(|version| !version.is_empty())
}

/// A hash in hexadecimal digits.
pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file and seals it, where it starts with a place for its hash.
pub(crate) struct Sealing<W> {
    out: W,
    hash: Sha256,
    head: Vec<u8>,
}

impl<W: Write + Seek> Sealing<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), head: Vec::with_capacity(HEAD) }
    }

    /// The file with its hash, written from the start of `out`.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if let Some(place) = place(&self.head) {
            self.out.seek(SeekFrom::Start(place.start as u64))?;
            self.out.write_all(hexadecimal(self.hash).as_bytes())?;
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        let room = written.min(HEAD - self.head.len());
        self.head.extend_from_slice(&bytes[..room]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Copies a sealed file, read from its start, with its hash left blank, to where it is sealed anew.
pub(crate) fn copy_blank(file: &mut impl Read, out: &mut dyn Write) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD);
    Read::by_ref(file).take(HEAD as u64).read_to_end(&mut head)?;
    if let Some(place) = place(&head) {
        head[place].fill(b'0');
    }
    out.write_all(&head)?;
    io::copy(file, out).map(drop)
}

/// Checks that a sealed file, read from its start, is as it was written.
///
/// # Errors
/// It carries no hash, has another one, or cannot be read.
pub(crate) fn verify(path: &Path, file: &mut impl Read) -> anyhow::Result<()> {
    let shown = path.display();
    let cannot = || format!("cannot read {shown}");
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64).read_to_end(&mut head).with_context(cannot)?;
    let Some(place) = place(&head) else {
        bail!(
            "{shown} carries no hash of its contents: it is damaged, or of a version before 0.2, which this \
             version does not read; make it again, in another place"
        );
    };
    let expected = String::from_utf8_lossy(&head[place.clone()]).into_owned();
    let version = writer(&head).unwrap_or_default();
    head[place].fill(b'0');
    let mut hash = Sha256::new_with_prefix(&head);
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk).with_context(cannot)? {
            0 => break,
            count => hash.update(&chunk[..count]),
        }
    }
    let found = hexadecimal(hash);
    if found != expected {
        bail!(
            "{shown} was changed or damaged since fiberwalk {version} wrote it: the hash of its contents is \
             {}, expected {}; take it from a copy, or remove it and go on with what wrote it",
            &found[..SHOWN],
            &expected[..SHOWN]
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A sealed file in every form.
    fn sealed() -> Vec<Vec<u8>> {
        let json = format!("{{\n{}  \"rows\": 3\n}}\n", json_lines());
        let toml = format!("{}[walk]\nsteps = 3\n", toml_line());
        let tensors = crate::tensors::header(&[("theta", [1, 1])], None).expect("small");
        let seal = |bytes: &[u8]| {
            let mut out = Sealing::new(Cursor::new(Vec::new()));
            // In pieces that end within the hash.
            bytes.chunks(50).for_each(|piece| out.write_all(piece).expect("room"));
            out.finish().expect("room").into_inner()
        };
        let mut tensors = tensors;
        tensors.extend(1.5_f32.to_le_bytes());
        [json.into_bytes(), toml.into_bytes(), tensors].iter().map(|bytes| seal(bytes)).collect()
    }

    fn verified(bytes: &[u8]) -> anyhow::Result<()> {
        verify(Path::new("file"), &mut &bytes[..])
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        for bytes in sealed() {
            verified(&bytes).expect("as written");
            assert_eq!(writer(&bytes).as_deref(), Some(VERSION));
            for bit in 0..8 * bytes.len() {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(verified(&flipped).is_err(), "bit {bit} of {bytes:?}");
            }
            assert!(verified(&bytes[..bytes.len() - 1]).is_err());
        }
    }

    #[test]
    fn a_message_says_what_happened_and_how_to_go_on() {
        let mut bytes = sealed().remove(0);
        // Three rows become four.
        let digit = bytes.len() - "3\n}\n".len();
        bytes[digit] = b'4';
        let message = verified(&bytes).expect_err("another number").to_string();
        for part in ["file was changed", VERSION, "expected", "remove it"] {
            assert!(message.contains(part), "{message}");
        }
        let message = verified(b"{\n  \"rows\": 3\n}\n").expect_err("no hash").to_string();
        assert!(
            message.contains("of a version before 0.2") && message.contains("again"),
            "{message}"
        );
    }
}
