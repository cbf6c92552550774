//! Files that are read: regular ones alone, whole only up to a stated size.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a settings file: far more than any has.
pub const MOST_SETTINGS: u64 = 1 << 20;
/// Most bytes of an artifact. The largest layers that the format allows have 16 MiB of weights each.
pub const MOST_ARTIFACT: u64 = 1 << 30;
/// Most bytes of a network of another library: protocol buffers, which ONNX is written in, allow no more.
pub const MOST_NETWORK: u64 = 1 << 31;

/// Opens a regular file.
///
/// # Errors
/// There is none, it cannot be read, or it is a folder, a pipe or a device: these may block, or never end.
pub fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, since that waits where nobody writes to a pipe.
    expect_regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    expect_regular(&file.metadata()?)?;
    Ok(file)
}

/// The bytes of a regular file.
///
/// # Errors
/// The errors of [`open`]; the file has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("found more than {most} bytes, expected at most as many");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The text of a regular file.
///
/// # Errors
/// The errors of [`read`]; the text is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

fn expect_regular(metadata: &Metadata) -> io::Result<()> {
    let found = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        _ => "a pipe or a device",
    };
    let message = format!("found {found}, expected a regular file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        fs::write(&path, "text").expect("writable");
        assert_eq!(read_text(&path, 4).expect("four bytes"), "text");
        let message = read(&path, 3).expect_err("too many").to_string();
        assert!(message.contains("more than 3 bytes"), "{message}");
        fs::write(&path, [0xff]).expect("writable");
        assert!(read_text(&path, 4).is_err());
        let message = open(folder.path()).expect_err("a folder").to_string();
        assert!(message.contains("found a folder"), "{message}");
    }

    /// A pipe that nobody writes to, and a device that never ends, are refused at once.
    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        for path in [&pipe, Path::new("/dev/zero")] {
            let message = read(path, 10).expect_err("no file").to_string();
            assert!(message.contains("a pipe or a device"), "{message}");
        }
    }
}
