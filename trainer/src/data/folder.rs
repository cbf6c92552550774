//! A folder of PNG files, in one subfolder a class or, unlabelled, without subfolders.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fiberwalk_formats::MAX_MAP;
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};
use sha2::{Digest, Sha256};

use super::numbers::Numbers;
use super::table::{TableError, unreadable};
use super::{Layout, Shape, Values};
use crate::files;
use crate::store::Writer;

/// Most bytes of an image file: more than the largest map has at 16 bits a value, with what a camera adds.
const MOST_BYTES: u64 = 1 << 24;
/// Most bytes that the decoder takes besides the pixels.
const DECODER_BYTES: usize = 1 << 24;

/// Images of one size, in the order of their paths.
pub(super) struct Images {
    /// Their pixels.
    pub numbers: Numbers,
    /// Name of each one's subfolder, if they are in such.
    pub classes: Option<Vec<String>>,
}

/// Reads all images below `folder`; `hash` takes their names and bytes.
pub(super) fn read(folder: &Path, hash: &mut Sha256) -> Result<Images, TableError> {
    let unusable = |message| TableError::Unusable { path: folder.to_owned(), message };
    let unreadable = |error| unreadable(folder, error);
    let entries = entries(folder)?;
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
        entries.into_iter().partition(|path| path.is_dir());
    let labelled = !folders.is_empty();
    if let Some(file) = files.first().filter(|_| labelled) {
        return Err(unusable(format!(
            "found the file {} beside subfolders, expected one subfolder a class, or images alone",
            name(file)
        )));
    }
    let mut images: Vec<(PathBuf, String)> =
        files.into_iter().map(|file| (file, String::new())).collect();
    for class in folders {
        images.extend(self::entries(&class)?.into_iter().map(|file| (file, name(&class))));
    }
    let mut first: Option<(&Path, Shape)> = None;
    let mut pixels = Writer::default();
    for (path, class) in &images {
        let malformed = |message| TableError::Malformed { path: path.clone(), message };
        let bytes = read_file(path)?;
        let (shape, image) = decode(&bytes).map_err(malformed)?;
        let (other, expected) = *first.get_or_insert((path, shape));
        if shape != expected {
            return Err(malformed(format!(
                "found an image of {shape}, expected {expected} as {} is",
                other.display()
            )));
        }
        for part in [class.as_bytes(), name(path).as_bytes(), &bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        pixels.extend(&image).map_err(unreadable)?;
    }
    let Some((_, shape)) = first else {
        return Err(unusable("found no image, expected PNG files in one subfolder a class".into()));
    };
    let numbers = Numbers {
        layout: Layout::Image(shape),
        values: Arc::new(Values::Bytes(pixels.finish().map_err(unreadable)?)),
        blurred: None,
        labels: "expected one subfolder a class",
    };
    let classes = images.into_iter().map(|(_, class)| class).collect();
    Ok(Images { numbers, classes: labelled.then_some(classes) })
}

/// Height, width and channels of a PNG file, and its pixels. Palettes become colours, 16 bits become 8.
fn decode(bytes: &[u8]) -> Result<(Shape, Vec<u8>), String> {
    let no_image = |error| format!("not a PNG image that can be read: {error}");
    let limits = Limits { bytes: DECODER_BYTES };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    let header = decoder.read_header_info().map_err(no_image)?;
    let [height, width] = [header.height, header.width].map(|side| side as usize);
    if height.saturating_mul(width) > MAX_MAP {
        return Err(format!(
            "found an image of {height} × {width}, expected at most {MAX_MAP} values; make it smaller"
        ));
    }
    let mut reader = decoder.read_info().map_err(no_image)?;
    // The library takes three bytes a colour as given.
    let palette = reader.info().palette.as_ref().map_or(0, |palette| palette.len());
    if palette % 3 != 0 {
        return Err(format!(
            "not a PNG image that can be read: found a palette of {palette} bytes, expected three a colour"
        ));
    }
    let channels = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => 1,
        (ColorType::Rgb, BitDepth::Eight) => 3,
        _ => return Err("found transparency, expected gray or RGB; save it without".to_owned()),
    };
    let shape = Shape { height, width, channels };
    if shape.len() > MAX_MAP {
        return Err(format!("found an image of {shape}, expected at most {MAX_MAP} values"));
    }
    let size = reader.output_buffer_size().ok_or("the image is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(no_image)?;
    pixels.truncate(frame.buffer_size());
    if (frame.height as usize, frame.width as usize, pixels.len()) != (height, width, shape.len()) {
        return Err("found a part of an image, expected all of it".to_owned());
    }
    Ok((shape, pixels))
}

/// Entries of a folder by name, without hidden files.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, TableError> {
    let unreadable = |error| unreadable(folder, error);
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(unreadable)?;
    paths.retain(|path| !name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_file(path: &Path) -> Result<Vec<u8>, TableError> {
    files::read(path, MOST_BYTES)
        .map_err(|error| TableError::Unreadable { path: path.to_owned(), error })
}

/// The bytes of a PNG file of 8 bits a channel.
#[cfg(test)]
pub(super) fn png(width: u32, height: u32, color: ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a vector grows");
    writer.write_image_data(pixels).expect("as many as the size says");
    writer.finish().expect("a vector grows");
    bytes
}

/// A temporary folder of files.
#[cfg(test)]
pub(super) fn folder_of(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(files: &[(&str, Vec<u8>)]) -> Result<Images, TableError> {
        read(folder_of(files).path(), &mut Sha256::new())
    }

    fn gray(pixels: &[u8; 2]) -> Vec<u8> {
        png(2, 1, ColorType::Grayscale, pixels)
    }

    #[test]
    fn a_subfolder_is_a_class() {
        let files = [
            ("cat/b.png", gray(&[3, 4])),
            ("cat/a.png", gray(&[1, 2])),
            ("ant/c.png", gray(&[5, 6])),
            (".DS_Store", b"?".to_vec()),
        ];
        let Images { numbers, classes } = images(&files).expect("images");
        assert_eq!(classes.expect("labelled"), ["ant", "cat", "cat"]);
        assert_eq!(*numbers.values, Values::Bytes(vec![5, 6, 1, 2, 3, 4].into()));
        assert_eq!(numbers.layout, Layout::Image(Shape { height: 1, width: 2, channels: 1 }));
        let colour = png(1, 1, ColorType::Rgb, &[7, 8, 9]);
        let Images { numbers, classes } = images(&[("a.png", colour)]).expect("an image");
        assert_eq!((classes, &*numbers.values), (None, &Values::Bytes(vec![7, 8, 9].into())));
    }

    /// Sides that a file claims cost no memory.
    #[test]
    fn an_image_that_claims_too_much_is_refused() {
        for (width, height) in [(513u32, 512u32), (1 << 20, 1 << 20), (i32::MAX as u32, 1)] {
            let mut bytes = gray(&[1, 2]);
            // Behind the signature and the start of the chunk.
            bytes[16..20].copy_from_slice(&width.to_be_bytes());
            bytes[20..24].copy_from_slice(&height.to_be_bytes());
            // The chunk's checksum.
            let mut checksum = flate2::Crc::new();
            checksum.update(&bytes[12..29]);
            bytes[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
            let message = images(&[("a.png", bytes)]).err().expect("too large").to_string();
            let expected = format!("found an image of {height} × {width}");
            assert!(message.contains(&expected) && message.contains("at most"), "{message}");
        }
    }

    #[test]
    fn a_palette_of_broken_colours_is_refused() {
        let palette_of = |bytes: usize| {
            let mut file = Vec::new();
            let mut encoder = png::Encoder::new(&mut file, 2, 1);
            encoder.set_color(ColorType::Indexed);
            encoder.set_depth(BitDepth::Eight);
            encoder.set_palette((0..bytes as u8).collect::<Vec<_>>());
            let mut writer = encoder.write_header().expect("a vector grows");
            writer.write_image_data(&[1, 0]).expect("as many as the size says");
            writer.finish().expect("a vector grows");
            images(&[("a.png", file)])
        };
        let Images { numbers, .. } = palette_of(6).expect("two colours");
        assert_eq!(*numbers.values, Values::Bytes(vec![3, 4, 5, 0, 1, 2].into()));
        for bytes in [7, 8] {
            let message = palette_of(bytes).err().expect("a colour is broken").to_string();
            assert!(message.contains(&format!("a palette of {bytes} bytes")), "{message}");
        }
    }

    #[test]
    fn the_odd_file_is_named() {
        let good = ("a/a.png", gray(&[1, 2]));
        let cases = [
            ("b/b.png", png(1, 2, ColorType::Grayscale, &[1, 2]), "found an image of 2 × 1 × 1"),
            ("b/b.png", png(2, 1, ColorType::Rgb, &[0; 6]), "expected 1 × 2 × 1 as "),
            ("b/b.png", png(2, 1, ColorType::Rgba, &[0; 8]), "found transparency"),
            ("b/b.png", gray(&[1, 2])[..40].to_vec(), "not a PNG image"),
            ("b/b.txt", b"notes".to_vec(), "not a PNG image"),
        ];
        for (name, bytes, expected) in cases {
            let message = images(&[good.clone(), (name, bytes)]).err().expect(expected).to_string();
            assert!(message.contains(name) && message.contains(expected), "{message}");
        }
        let message = images(&[good, ("b.png", gray(&[1, 2]))]).err().expect("beside").to_string();
        assert!(message.contains("the file b.png beside subfolders"), "{message}");
        assert!(images(&[]).err().expect("empty").to_string().contains("found no image"));
    }
}
