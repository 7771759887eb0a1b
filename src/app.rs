//! Composition: what each command starts, in which order, and how it stops.
