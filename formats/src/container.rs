//! Header, checksum and body.

use crc::{CRC_32_ISO_HDLC, Crc};

use crate::artifact::Artifact;
use crate::error::{DecodeError, EncodeError};
use crate::validate::validate;

/// First bytes of every file.
pub const MAGIC: [u8; 4] = *b"FBWK";
/// Version of the format that this crate reads and writes.
pub const VERSION: u16 = 2;
/// Length of the header: magic, version u16, flags u16, body length u32, CRC-32 u32, all
/// little-endian. The CRC covers the header before it and the body.
pub const HEADER_LEN: usize = 16;

/// Flag of a body whose artifact is followed by its geometry.
pub(crate) const GEOMETRY: u16 = 1;
/// Flags that this reader knows.
const KNOWN: u16 = if cfg!(feature = "maps") { GEOMETRY } else { 0 };
/// Where the CRC starts.
const CRC_OFFSET: usize = 12;

/// Bit by bit: a table would cost a kilobyte of flash to make start-up faster only.
static CRC: Crc<u32, crc::NoTable> = Crc::<u32, crc::NoTable>::new(&CRC_32_ISO_HDLC);

/// Reads and checks an artifact. Nothing is copied; arrays stay in `bytes`.
///
/// # Errors
/// [`DecodeError`] says which check failed first.
pub fn decode(bytes: &[u8]) -> Result<Artifact<'_>, DecodeError> {
    if bytes.first_chunk().is_some_and(|start| *start != MAGIC) {
        return Err(DecodeError::WrongMagic);
    }
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(DecodeError::Truncated { expected: HEADER_LEN, found: bytes.len() });
    };
    let [_, _, _, _, v0, v1, f0, f1, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let version = u16::from_le_bytes([v0, v1]);
    if version != VERSION {
        return Err(DecodeError::UnknownVersion { found: version });
    }
    let flags = u16::from_le_bytes([f0, f1]);
    if flags & !KNOWN != 0 {
        return Err(DecodeError::UnknownFlags { found: flags });
    }
    let expected = HEADER_LEN.saturating_add(u32::from_le_bytes([l0, l1, l2, l3]) as usize);
    let found = bytes.len();
    if found < expected {
        return Err(DecodeError::Truncated { expected, found });
    }
    if found > expected {
        return Err(DecodeError::TrailingBytes { expected, found });
    }
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    let actual = checksum(&header[..CRC_OFFSET], body);
    if crc != actual {
        return Err(DecodeError::BadCrc { expected: crc, found: actual });
    }
    // An artifact is large for a board's stack: it is checked where it will be returned.
    let artifact = parse(body, flags == GEOMETRY);
    if let Ok(artifact) = &artifact {
        validate(artifact)?;
    }
    artifact
}

/// A function of its own: its stack, several artifacts deep, is free again before the checks.
#[inline(never)]
fn parse(body: &[u8], has_geometry: bool) -> Result<Artifact<'_>, DecodeError> {
    match postcard::take_from_bytes(body) {
        Ok((artifact, [])) if !has_geometry => Ok(artifact),
        Ok((artifact, rest)) if has_geometry => match postcard::take_from_bytes(rest) {
            Ok((geometry, [])) => Ok(Artifact { geometry: Some(geometry), ..artifact }),
            _ => Err(DecodeError::Malformed),
        },
        _ => Err(DecodeError::Malformed),
    }
}

/// Writes `artifact` to the start of `buffer` and returns the number of bytes.
///
/// # Errors
/// [`EncodeError::Invalid`] where [`decode`] would refuse the result, and
/// [`EncodeError::BufferTooSmall`].
pub fn encode(artifact: &Artifact<'_>, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    validate(artifact).map_err(EncodeError::Invalid)?;
    let too_small = EncodeError::BufferTooSmall { found: buffer.len() };
    let Some((header, body)) = buffer.split_first_chunk_mut::<HEADER_LEN>() else {
        return Err(too_small);
    };
    let mut body_len = postcard::to_slice(artifact, body).map_err(|_| too_small)?.len();
    if let Some(geometry) = artifact.maps() {
        let rest = &mut body[body_len..];
        body_len += postcard::to_slice(geometry, rest).map_err(|_| too_small)?.len();
    }
    let flags = if artifact.maps().is_some() { GEOMETRY } else { 0 };
    let length = u32::try_from(body_len).map_err(|_| too_small)?;
    header[..4].copy_from_slice(&MAGIC);
    header[4..6].copy_from_slice(&VERSION.to_le_bytes());
    header[6..8].copy_from_slice(&flags.to_le_bytes());
    header[8..12].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&header[..CRC_OFFSET], &body[..body_len]);
    header[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
    Ok(HEADER_LEN + body_len)
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(header);
    digest.update(body);
    digest.finalize()
}
