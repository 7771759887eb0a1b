//! Parts of a request: parameters, paths, hosts, and the lists of header fields.

pub(super) mod formatted;
pub(super) mod host;
pub(super) mod list_field;
pub(super) mod params;
pub(super) mod path;
