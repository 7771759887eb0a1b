//! ClickHouse's own compression of a body (`compress=1`, `decompress=1`): frames, each with a
//! checksum, a method and both lengths before its data.
//!
//! The lengths of a frame are bounded before anything is allocated for it, and its checksum is
//! checked before it is unpacked.

use bytes::{Buf as _, Bytes, BytesMut};
use cityhash_rs::cityhash_102_128;

use crate::embedded::libchdb::EngineError;

/// CityHash128, as ClickHouse computes it, of all that follows in the frame.
const CHECKSUM_BYTES: usize = 16;
/// The method, the length of the rest of the frame with this header, and that of the data.
const HEADER_BYTES: usize = 9;
/// The longest data of a frame that is taken, packed or not. Clients put 1 MiB or one batch into a
/// frame.
pub(super) const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The longest data of a frame that is made; a server does it so.
const MADE_BYTES_MAX: usize = 1024 * 1024;

const NONE: u8 = 0x02;
const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;

/// How the data of a frame is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Lz4,
    /// ZSTD of this level.
    Zstd(i32),
}

/// Packs bytes into frames.
///
/// # Errors
///
/// The method fails, as for want of memory.
pub(super) fn pack(bytes: &[u8], method: Method) -> Result<Vec<u8>, EngineError> {
    let mut frames = Vec::with_capacity(bytes.len() / 2 + CHECKSUM_BYTES + HEADER_BYTES);
    for data in bytes.chunks(MADE_BYTES_MAX) {
        let packed = match method {
            Method::Lz4 => lz4::block::compress(data, None, false),
            Method::Zstd(level) => zstd::bulk::compress(data, level),
        };
        let packed =
            packed.map_err(|error| EngineError::new(272, "CANNOT_COMPRESS", &error.to_string()))?;
        let checksum_at = frames.len();
        frames.extend([0; CHECKSUM_BYTES]);
        frames.push(match method {
            Method::Lz4 => LZ4,
            Method::Zstd(_) => ZSTD,
        });
        frames.extend(length(packed.len() + HEADER_BYTES).to_le_bytes());
        frames.extend(length(data.len()).to_le_bytes());
        frames.extend(packed);
        let checksum = checksum(&frames[checksum_at + CHECKSUM_BYTES..]);
        frames[checksum_at..checksum_at + CHECKSUM_BYTES].copy_from_slice(&checksum);
    }
    Ok(frames)
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a frame is made of at most 1 MiB")
}

/// The two halves of the hash stand in the order of their computation.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    cityhash_102_128(bytes).rotate_right(64).to_le_bytes()
}

/// Takes the first frame out of a buffer and unpacks it; `None` if it has not come whole.
///
/// # Errors
///
/// Its checksum does not match, its lengths are beyond the bound, its method is unknown, or its
/// data is not what the method makes.
pub(super) fn unpack_first(buffer: &mut BytesMut) -> Result<Option<Bytes>, EngineError> {
    let Some(header) = buffer.get(CHECKSUM_BYTES..CHECKSUM_BYTES + HEADER_BYTES) else {
        return Ok(None);
    };
    let mut lengths = &header[1..];
    let framed_bytes = bounded(lengths.get_u32_le())?;
    let data_bytes = bounded(lengths.get_u32_le())?;
    if framed_bytes < HEADER_BYTES {
        return Err(cannot("a frame is shorter than its header"));
    }
    if buffer.len() < CHECKSUM_BYTES + framed_bytes {
        return Ok(None);
    }
    let frame = buffer.split_to(CHECKSUM_BYTES + framed_bytes).freeze();
    let framed = frame.slice(CHECKSUM_BYTES..);
    if frame[..CHECKSUM_BYTES] != checksum(&framed) {
        let text = "Checksum doesn't match: the body is damaged, or not in ClickHouse's own \
            compressed format, which decompress=1 says";
        return Err(EngineError::new(40, "CHECKSUM_DOESNT_MATCH", text));
    }
    let packed = framed.slice(HEADER_BYTES..);
    let data = match framed[0] {
        NONE => packed,
        LZ4 => {
            let bytes = i32::try_from(data_bytes).map_err(|_| cannot("a frame is too long"))?;
            Bytes::from(lz4::block::decompress(&packed, Some(bytes)).map_err(cannot)?)
        }
        ZSTD => Bytes::from(zstd::bulk::decompress(&packed, data_bytes).map_err(cannot)?),
        other => {
            let text = format!("A frame has the method {other:#04x}; NONE, LZ4 and ZSTD are taken");
            return Err(EngineError::new(89, "UNKNOWN_COMPRESSION_METHOD", &text));
        }
    };
    if data.len() != data_bytes {
        return Err(cannot("a frame holds other than it says"));
    }
    Ok(Some(data))
}

fn bounded(length: u32) -> Result<usize, EngineError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length <= FRAME_BYTES_MAX {
        return Ok(length);
    }
    let text = format!(
        "A compressed frame of {length} bytes is longer than {FRAME_BYTES_MAX}: send smaller \
        batches (or the body is not in ClickHouse's own compressed format, which decompress=1 says)"
    );
    Err(EngineError::new(131, "TOO_LARGE_SIZE_COMPRESSED", &text))
}

fn cannot(reason: impl std::fmt::Display) -> EngineError {
    EngineError::new(271, "CANNOT_DECOMPRESS", &format!("Cannot decompress the body: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unpacks a body that comes in chunks of this many bytes.
    fn unpack(body: &[u8], chunk_bytes: usize) -> Result<Vec<u8>, EngineError> {
        let (mut buffer, mut data) = (BytesMut::new(), Vec::new());
        for chunk in body.chunks(chunk_bytes) {
            buffer.extend_from_slice(chunk);
            while let Some(piece) = unpack_first(&mut buffer)? {
                data.extend_from_slice(&piece);
            }
        }
        assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
        Ok(data)
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let data: Vec<u8> = (0..3_000_000).map(|n| u8::try_from(n / 7 % 251).unwrap()).collect();
        for method in [Method::Lz4, Method::Zstd(1)] {
            let packed = pack(&data, method).unwrap();
            assert!(packed.len() < data.len() / 2, "{}", packed.len());
            for chunk_bytes in [1000, 65_536, packed.len()] {
                assert!(unpack(&packed, chunk_bytes).unwrap() == data, "{method:?} {chunk_bytes}");
            }
        }
        assert_eq!(pack(b"", Method::Lz4).unwrap(), b"");
    }

    /// A frame that another implementation has made.
    #[test]
    fn the_checksum_is_the_one_of_clickhouse() {
        let frame = [
            245, 5, 222, 235, 225, 158, 59, 108, 225, 31, 65, 215, 66, 66, 36, 92, 130, 34, 0, 0,
            0, 23, 0, 0, 0, 240, 8, 1, 0, 2, 255, 255, 255, 255, 0, 1, 1, 1, 115, 6, 83, 116, 114,
            105, 110, 103, 3, 97, 98, 99,
        ];
        let block = b"\x01\x00\x02\xff\xff\xff\xff\x00\x01\x01\x01s\x06String\x03abc";
        assert_eq!(unpack(&frame, 1000).unwrap(), block);
    }

    #[test]
    fn bad_frames_are_refused() {
        let whole = pack(&[7; 1000], Method::Lz4).unwrap();
        let check = |change: &dyn Fn(&mut Vec<u8>), seal: bool, code: u32| {
            let mut frame = whole.clone();
            change(&mut frame);
            if seal {
                let checksum = checksum(&frame[CHECKSUM_BYTES..]);
                frame[..CHECKSUM_BYTES].copy_from_slice(&checksum);
            }
            let error = unpack(&frame, frame.len()).unwrap_err();
            assert_eq!(error.code, code, "{error}");
        };
        check(&|frame| frame[0] ^= 1, false, 40);
        check(&|frame| *frame.last_mut().unwrap() ^= 1, false, 40);
        check(&|frame| frame[16] = 0x91, true, 89);
        check(&|frame| frame[21] ^= 1, true, 271);
        check(&|frame| frame[17..21].copy_from_slice(&[1, 0, 0, 0]), true, 271);
        // Lengths beyond the bound, before that much has come.
        check(&|frame| frame[20] = 0x7f, false, 131);
        check(&|frame| frame[24] = 0x7f, true, 131);
        // A frame that says less than it unpacks to.
        check(&|frame| frame[21..25].copy_from_slice(&10_u32.to_le_bytes()), true, 271);
    }
}
