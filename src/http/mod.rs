//! The HTTP API: routes, access, problem documents.
