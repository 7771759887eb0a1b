//! Unpacks request bodies: HTTP's `Content-Encoding`, and ClickHouse's own compression within it.
//!
//! A body is unpacked piece by piece as it is read, so that a small one that unpacks to a huge one
//! takes no more memory than any other.

use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{GzipDecoder, Lz4Decoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::frames;
use super::refusals::not_implemented;
use crate::embedded::libchdb::EngineError;

/// Unpacked bytes that are handed on at once.
const PIECE_BYTES: usize = 256 * 1024;
/// The window of a ZSTD body, as a power of two: 32 MiB. A larger one is refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// A body, piece by piece.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, EngineError>> + Send>>;

/// How a body is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packing {
    /// HTTP's `Content-Encoding`.
    pub(super) content: Option<Content>,
    /// Within that, in ClickHouse's own frames.
    pub(super) frames: bool,
}

/// A `Content-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Gzip,
    Deflate,
    Lz4,
    Zstd,
}

impl Content {
    /// Its name in HTTP; `None` of what is not packed.
    ///
    /// # Errors
    ///
    /// It is none of those that are taken.
    pub(super) fn of(name: &str) -> Result<Option<Content>, EngineError> {
        Ok(Some(match name.to_ascii_lowercase().as_str() {
            "" | "identity" => return Ok(None),
            "gzip" | "x-gzip" => Content::Gzip,
            "deflate" => Content::Deflate,
            "lz4" => Content::Lz4,
            "zstd" => Content::Zstd,
            _ => {
                return Err(not_implemented(&format!(
                    "request bodies with Content-Encoding {name:?}; send it plain, or by gzip, \
                     deflate, lz4 or zstd"
                )));
            }
        }))
    }
}

/// The pieces of a body as it was before it was packed.
pub(super) fn unpacked(body: Body, packing: Packing) -> Pieces {
    let raw: Pieces = Box::pin(body.into_data_stream().map(|piece| {
        piece.map_err(|error| {
            EngineError::new(
                210,
                "NETWORK_ERROR",
                &format!("The request's body broke off: {error}"),
            )
        })
    }));
    let plain = match packing.content {
        Some(content) => by_http(raw, content),
        None => raw,
    };
    if packing.frames { by_frames(plain) } else { plain }
}

fn by_http(packed: Pieces, content: Content) -> Pieces {
    let pieces = stream::once(async move {
        let mut packed = packed;
        // An empty body is none, though no packing makes it.
        let Some(first) = packed.next().await else { return Box::pin(stream::empty()) as Pieces };
        let pieces = stream::once(async move { first }).chain(packed);
        let reader =
            StreamReader::new(Box::pin(pieces.map(|piece| piece.map_err(io::Error::other))));
        let reader: Pin<Box<dyn AsyncRead + Send>> = match content {
            Content::Gzip => {
                let mut decoder = GzipDecoder::new(reader);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Content::Deflate => Box::pin(ZlibDecoder::new(reader)),
            Content::Lz4 => {
                let mut decoder = Lz4Decoder::new(reader);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Content::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
                let mut decoder = ZstdDecoder::with_params(reader, &window);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        };
        let unpacked = ReaderStream::with_capacity(reader, PIECE_BYTES);
        Box::pin(unpacked.map(|piece| piece.map_err(cannot))) as Pieces
    });
    Box::pin(pieces.flatten())
}

/// The body's own error, or what is wrong with the packing.
fn cannot(error: io::Error) -> EngineError {
    error.downcast::<EngineError>().unwrap_or_else(|error| {
        EngineError::new(271, "CANNOT_DECOMPRESS", &format!("Cannot decompress the body: {error}"))
    })
}

struct Frames {
    packed: Pieces,
    buffer: BytesMut,
    /// The rest of the frame before, which was not handed on yet.
    data: Bytes,
}

impl Frames {
    async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        while self.data.is_empty() {
            if let Some(data) = frames::unpack_first(&mut self.buffer)? {
                self.data = data;
                continue;
            }
            match self.packed.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    let text = "Cannot read all data: a compressed body ends within a frame";
                    return Err(EngineError::new(33, "CANNOT_READ_ALL_DATA", text));
                }
            }
        }
        Ok(Some(self.data.split_to(self.data.len().min(PIECE_BYTES))))
    }
}

fn by_frames(packed: Pieces) -> Pieces {
    let frames = Frames { packed, buffer: BytesMut::new(), data: Bytes::new() };
    Box::pin(stream::unfold(Some(frames), |frames| async move {
        let mut frames = frames?;
        match frames.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(frames))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::super::frames::{Method, pack};
    use super::*;

    /// A body that comes in chunks of some bytes.
    fn body(bytes: &[u8]) -> Body {
        let chunks: Vec<_> =
            bytes.chunks(1009).map(|chunk| Ok::<_, io::Error>(chunk.to_vec())).collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn unpack(bytes: &[u8], packing: Packing) -> Result<Vec<u8>, EngineError> {
        let mut pieces = unpacked(body(bytes), packing);
        let mut data = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            assert!(piece.len() <= PIECE_BYTES, "{}", piece.len());
            data.extend_from_slice(&piece);
        }
        Ok(data)
    }

    fn by(content: Content) -> Packing {
        Packing { content: Some(content), frames: false }
    }

    fn packed(data: &[u8], content: Content) -> Vec<u8> {
        match content {
            Content::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Content::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Content::Lz4 => {
                let mut encoder = lz4::EncoderBuilder::new().build(Vec::new()).unwrap();
                encoder.write_all(data).unwrap();
                let (packed, outcome) = encoder.finish();
                outcome.unwrap();
                packed
            }
            Content::Zstd => zstd::encode_all(data, 1).unwrap(),
        }
    }

    const ALL: [Content; 4] = [Content::Gzip, Content::Deflate, Content::Lz4, Content::Zstd];

    #[tokio::test]
    async fn every_packing_is_unpacked() {
        let data: Vec<u8> = (0..1_000_000).map(|n| u8::try_from(n / 7 % 251).unwrap()).collect();
        for content in ALL {
            let packed = packed(&data, content);
            assert!(unpack(&packed, by(content)).await.unwrap() == data, "{content:?}");
            assert_eq!(unpack(b"", by(content)).await.unwrap(), b"", "{content:?}");
            let error = unpack(&packed[..packed.len() / 2], by(content)).await.unwrap_err();
            assert_eq!(error.code, 271, "{content:?}: {error}");
            let error = unpack(b"INSERT INTO t VALUES (1)", by(content)).await.unwrap_err();
            assert_eq!(error.code, 271, "{content:?}: {error}");
        }
        let framed = pack(&data, Method::Lz4).unwrap();
        let in_frames = Packing { content: None, frames: true };
        assert!(unpack(&framed, in_frames).await.unwrap() == data);
        assert_eq!(unpack(b"", in_frames).await.unwrap(), b"");
        assert_eq!(unpack(&framed[..30], in_frames).await.unwrap_err().code, 33);
        let both = Packing { content: Some(Content::Gzip), frames: true };
        assert!(unpack(&packed(&framed, Content::Gzip), both).await.unwrap() == data);
    }

    #[tokio::test]
    async fn a_bomb_comes_out_in_small_pieces() {
        let data = vec![0; 64 * 1024 * 1024];
        for content in ALL {
            let packed = packed(&data, content);
            assert!(packed.len() < 400_000, "{content:?}: {}", packed.len());
            // No piece is larger than allowed, which `unpack` checks.
            assert_eq!(unpack(&packed, by(content)).await.unwrap().len(), data.len());
        }
    }

    #[test]
    fn other_encodings_are_refused_by_name() {
        assert_eq!(Content::of("identity").unwrap(), None);
        assert_eq!(Content::of("GZIP").unwrap(), Some(Content::Gzip));
        let error = Content::of("br").unwrap_err();
        assert!(error.code == 48 && error.message.contains("\"br\""), "{error}");
    }
}
