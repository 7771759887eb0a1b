//! Alerts: what is found, by a clock of the tests; and that each event reaches its targets, under
//! faults.

mod delivery;
mod first_time;
mod judging;
mod receiver;
mod try_out;
