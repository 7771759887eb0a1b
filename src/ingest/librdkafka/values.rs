//! Values as librdkafka's C interface has them.

use std::ffi::CStr;
use std::os::raw::{c_char, c_int};
use std::time::Duration;

/// A copy of a C text; empty where it is null.
///
/// # Safety
///
/// A pointer that is not null points to a text that ends with a zero byte.
pub(super) unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller guarantees it.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// librdkafka's form of a timeout: milliseconds, 24 days at most.
pub(super) fn timeout_ms(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}
