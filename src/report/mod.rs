//! Report requests, parsed so that they cannot be wrong, and report bodies assembled from rows. Pure: no I/O, no clock.
