//! How a result is written for its client beyond the format: blocks as a client of that protocol
//! version reads them, and ClickHouse's own compression.

use super::frames::{self, Method};
use super::native;
use super::request::Parsed;
use crate::embedded::libchdb::EngineError;

/// The level of ZSTD unless the request names one, and the highest.
const ZSTD_LEVEL: i32 = 1;
const ZSTD_LEVEL_MAX: i32 = 22;

/// Encoding of each chunk of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Encoding {
    /// The protocol version of a client that reads `FORMAT Native`; 0 asks for nothing.
    native_version: u64,
    compression: Option<Method>,
}

impl Encoding {
    /// The encoding that a request asks for, of a result in that format.
    pub(super) fn of(request: &Parsed, format: &str) -> Encoding {
        let native_version =
            if format.eq_ignore_ascii_case("Native") { request.protocol_version } else { 0 };
        Encoding { native_version, compression: request.compress.then(|| method(request)) }
    }

    /// A chunk as the client reads it.
    ///
    /// # Errors
    ///
    /// A column of a type whose values cannot be told apart here.
    pub(super) fn apply(self, mut chunk: Vec<u8>) -> Result<Vec<u8>, EngineError> {
        if self.native_version > 0 {
            chunk = native::for_version(&chunk, self.native_version)?;
        }
        match self.compression {
            Some(method) => frames::pack(&chunk, method),
            None => Ok(chunk),
        }
    }

    /// The text of an error after rows. It is not compressed where that fails.
    pub(super) fn apply_to_error(self, text: String) -> Vec<u8> {
        match self.compression.map(|method| frames::pack(text.as_bytes(), method)) {
            Some(Ok(packed)) => packed,
            _ => text.into_bytes(),
        }
    }
}

/// Any client reads LZ4, which is a server's default too.
fn method(request: &Parsed) -> Method {
    let setting = |wanted: &str| {
        let found = request.settings.iter().rev().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    if !setting("network_compression_method").is_some_and(|name| name.eq_ignore_ascii_case("ZSTD"))
    {
        return Method::Lz4;
    }
    let level = setting("network_zstd_compression_level").and_then(|level| level.parse().ok());
    Method::Zstd(level.unwrap_or(ZSTD_LEVEL).clamp(1, ZSTD_LEVEL_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_asks_for_what_it_reads() {
        let asks = |settings: &[(&str, &str)], compress, format| {
            let settings =
                settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let request = Parsed {
                compress,
                protocol_version: 54_460,
                settings: settings.collect(),
                ..Parsed::default()
            };
            Encoding::of(&request, format)
        };
        assert_eq!(asks(&[], false, "TSV"), Encoding::default());
        assert_eq!(asks(&[], false, "native").native_version, 54_460);
        assert_eq!(asks(&[], true, "TSV").compression, Some(Method::Lz4));
        let zstd =
            [("network_compression_method", "zstd"), ("network_zstd_compression_level", "99")];
        assert_eq!(asks(&zstd[..1], true, "TSV").compression, Some(Method::Zstd(1)));
        assert_eq!(asks(&zstd, true, "TSV").compression, Some(Method::Zstd(22)));
    }
}
