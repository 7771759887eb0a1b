//! Steps through the bytes of a block.

use crate::embedded::libchdb::EngineError;

/// Bytes of the engine, and how far they are read.
pub(super) struct Reader<'bytes> {
    pub(super) bytes: &'bytes [u8],
    pub(super) at: usize,
}

impl<'bytes> Reader<'bytes> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'bytes [u8], EngineError> {
        let end = self.at.checked_add(length).ok_or_else(cut_off)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(cut_off)?;
        self.at = end;
        Ok(taken)
    }

    /// Steps over `count` values of `width` bytes.
    pub(super) fn skip(&mut self, count: usize, width: usize) -> Result<(), EngineError> {
        self.take(count.checked_mul(width).ok_or_else(cut_off)?).map(drop)
    }

    pub(super) fn byte(&mut self) -> Result<u8, EngineError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u64(&mut self) -> Result<u64, EngineError> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// A count that is written in eight bytes.
    pub(super) fn count(&mut self) -> Result<usize, EngineError> {
        usize::try_from(self.u64()?).map_err(|_| cut_off())
    }

    /// A `VarUInt` (unsigned LEB128).
    pub(super) fn length(&mut self) -> Result<usize, EngineError> {
        let mut value = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(cut_off())
    }

    pub(super) fn text(&mut self) -> Result<&'bytes [u8], EngineError> {
        let length = self.length()?;
        self.take(length)
    }
}

pub(super) fn cut_off() -> EngineError {
    EngineError::new(1001, "STD_EXCEPTION", "A block of the engine is shorter than it says")
}
