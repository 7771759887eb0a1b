//! `seatmeter canary`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::canary_rounds::CanaryLoop;
use super::progress::say;
use super::version::build;
use super::{service, shutdown};
use crate::config::Config;
use crate::http;
use crate::telemetry::canary as telemetry;
use crate::telemetry::feeding::Feeding;

/// Time limit for the process to end: an open request to the API, and the last records, have less.
const END_GRACE: Duration = Duration::from_secs(40);

/// Time between clean-ups of the recorder, which keeps each duration until then.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Time between looks whether a feeder is done.
const FEEDING_INTERVAL: Duration = Duration::from_millis(200);

/// Send events of an account of its own through everything, and watch what the reports say
///
/// Every canary.interval_ms a few events go to the topic, and the report API (canary.api_url) is
/// asked for them until it shows them. /metrics on canary.listen has the delay until then, wrong
/// answers by report, failures, and the time since all reports were right; a wrong answer is logged
/// with what was wanted and found. Refused where real events use canary.account.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs until `stop` is cancelled or the canary is refused.
pub(super) async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let metrics = telemetry::install(build()).context("cannot record metrics")?;
    let listener = service::listen(config.canary.listen, "canary.listen").await?;
    shutdown::end_within(END_GRACE, stop.clone())?;
    let canary = CanaryLoop::new(&config, stop)?;
    let handle = metrics.clone();
    let _upkeep = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            handle.run_upkeep();
        }
    }));
    let close = CancellationToken::new();
    let closing = close.clone();
    let mut serving = tokio::spawn(async move {
        let render = move || telemetry::render(&metrics);
        http::serve_metrics(listener, &config.http, render, closing).await
    });
    let mut watching = tokio::task::spawn_blocking(move || canary.run());
    tokio::select! {
        watched = &mut watching => {
            close.cancel();
            let served = serving.await.context("the listener broke down")?;
            watched.context("the canary broke down")?.and(served)
        }
        served = &mut serving => served.context("the listener broke down")?,
    }
}

/// Runs a canary beside an API of this process, at this address, as soon as a feeder is done.
pub(super) fn beside(
    mut config: Config,
    api: SocketAddr,
    feeding: Arc<Feeding>,
    stop: CancellationToken,
) -> JoinHandle<anyhow::Result<()>> {
    config.canary.api_url = format!("http://{api}");
    (config.canary.token_file, config.canary.ca_file) = (None, None);
    tokio::task::spawn_blocking(move || {
        while !feeding.is_counted() {
            if stop.is_cancelled() {
                return Ok(());
            }
            std::thread::sleep(FEEDING_INTERVAL);
        }
        say(&format!(
            "the canary sends events of account {:?}: see seatmeter_canary_* at \
            http://{api}/metrics",
            config.canary.account
        ));
        CanaryLoop::new(&config, stop)?.run()
    })
}
