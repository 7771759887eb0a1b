//! Webhooks, signed as Standard Webhooks describes
//! (<https://www.standardwebhooks.com>): the headers `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use secrecy::ExposeSecret as _;
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

use super::attempt::{CONTENT_TYPE, SendError};
use crate::config;

/// Time limit of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A receiver.
pub(super) struct WebhookSender {
    agent: ureq::Agent,
    url: String,
    signer: Arc<Webhook>,
}

impl WebhookSender {
    pub(super) fn new(webhook: &config::Webhook) -> anyhow::Result<Self> {
        let signer = Webhook::new(webhook.secret.expose_secret())
            .with_context(|| format!("{:?} holds no signing secret", webhook.secret_file))?;
        // An event is for this receiver alone, so redirects are not followed.
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("seatmeter")
            .build();
        let url = webhook.url.clone();
        Ok(Self { agent: agent.new_agent(), url, signer: Arc::new(signer) })
    }

    /// Posts an event.
    pub(super) async fn send(&self, id: &str, event: &str) -> Result<(), SendError> {
        let time = Utc::now().timestamp();
        let signature = self
            .signer
            .sign(id, time, event.as_bytes())
            .map_err(|error| SendError(error.to_string()))?;
        let request = self
            .agent
            .post(&self.url)
            .header("content-type", CONTENT_TYPE)
            .header(HEADER_WEBHOOK_ID, id)
            .header(HEADER_WEBHOOK_TIMESTAMP, time.to_string())
            .header(HEADER_WEBHOOK_SIGNATURE, signature);
        let event = event.to_owned();
        let sent = tokio::task::spawn_blocking(move || request.send(event)).await;
        match sent {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(SendError(format!("it answers with {}", response.status()))),
            Ok(Err(error)) => Err(SendError(error.to_string())),
            Err(error) => Err(SendError(error.to_string())),
        }
    }
}
