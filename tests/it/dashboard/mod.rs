//! The dashboard in a real browser: Chromium, on the whole service with the scenario `tiny`.
//!
//! Without `chromium` and `chromedriver` these tests report it and pass;
//! `SEATMETER_REQUIRE_BROWSER=1` makes them fail.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that is skipped says so, and pictures are named"
)]

mod access;
mod alerts;
mod axe;
mod browser;
mod docs;
mod expected;
mod figures;
mod findings;
mod interaction;
mod links;
mod live;
mod names;
mod overage;
mod page;
mod places;
mod printing;
mod screenshots;
mod site;
mod typing;
