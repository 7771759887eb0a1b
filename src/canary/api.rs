//! Asks the report API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::answers::figures_of;
use super::figures::JudgedReport;
use super::rounds::{PREFIX, Rounds};
use crate::config::Canary;

/// Time limit of one request; the end of the program waits for it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read, bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The longest text of the API's that is repeated, characters.
const TOLD_CHARS_MAX: usize = 300;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Asking again will not do: the token or the option has to be corrected.
    #[error("{0}")]
    Refused(String),
    /// Asking again may do.
    #[error("{0}")]
    Failed(String),
}

/// The report API, as far as the canary asks it.
#[derive(Debug)]
pub struct ReportApi {
    agent: ureq::Agent,
    /// Without a slash at its end.
    url: String,
    /// The account, as a part of a path.
    account: String,
    token_file: Option<PathBuf>,
}

impl ReportApi {
    /// The API of these options. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// A file of certificates that cannot be used.
    pub fn new(canary: &Canary) -> anyhow::Result<Self> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &canary.ca_file {
            let unusable = |reason: String| {
                anyhow::anyhow!("canary.ca_file = {:?}: {reason}", path.display().to_string())
            };
            let pem = std::fs::read(path)
                .map_err(|error| unusable(format!("the file cannot be read: {error}")))?;
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
            if certificates.is_empty() {
                return Err(unusable("the file holds no certificate in PEM".to_owned()));
            }
            let trusted =
                certificates.iter().map(|of| Certificate::from_der(of).to_owned()).collect();
            tls = tls.root_certs(RootCerts::Specific(Arc::new(trusted)));
        }
        // Redirects are not followed: the token is for this API alone.
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .max_redirects(0)
            .http_status_as_error(false)
            .tls_config(tls.build());
        Ok(Self {
            agent: config.build().new_agent(),
            url: canary.api_url.trim_end_matches('/').to_owned(),
            account: utf8_percent_encode(&canary.account, NON_ALPHANUMERIC).to_string(),
            token_file: canary.token_file.clone(),
        })
    }

    /// The figures of a report of the organization, by their places.
    ///
    /// # Errors
    ///
    /// Why there are none, with the address.
    pub fn figures(
        &self,
        report: JudgedReport,
        rounds: &Rounds,
    ) -> Result<Vec<(usize, u64)>, AskError> {
        let (organization, date, end) = (rounds.organization(), rounds.date(), rounds.end());
        let days = format!("from={date}&to={date}&as_of={end}");
        let path = match report {
            JudgedReport::TestActivity => {
                format!("organizations/{organization}/test-activity?{days}")
            }
            JudgedReport::Quota => format!("organizations/{organization}/quota?as_of={end}"),
            JudgedReport::LicenseHistory => {
                format!("licenses/history?organization_id={organization}&{days}")
            }
            JudgedReport::LicenseUsage => {
                format!("licenses/usage?organization_id={organization}&{days}")
            }
            JudgedReport::Assignments => {
                format!("licenses/assignments?organization_id={organization}&limit=1")
            }
        };
        let path = self.of_account(&path);
        let answer = self.get(&path)?;
        figures_of(report, answer.as_ref())
            .map_err(|reason| AskError::Failed(format!("{}{path}: {reason}", self.url)))
    }

    /// How far each partition of the topic is counted.
    ///
    /// # Errors
    ///
    /// As [`Self::figures`].
    pub fn next_offsets(&self, topic: &str) -> Result<BTreeMap<u32, u64>, AskError> {
        let answer = self.get("/v1/ingest")?.unwrap_or_default();
        let partitions = answer["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let next_offset = |of: &Value| {
            let partition = u32::try_from(of["partition"].as_u64()?).ok()?;
            Some((partition, of["next_offset"].as_u64()?))
        };
        let of_topic = partitions.iter().filter(|of| of["topic"] == topic);
        Ok(of_topic.filter_map(next_offset).collect())
    }

    /// What real events have left in the account; `None` where it is free for the canary.
    ///
    /// # Errors
    ///
    /// As [`Self::figures`].
    pub fn occupant(&self) -> Result<Option<String>, AskError> {
        let Some(answer) = self.get(&self.of_account("organizations"))? else { return Ok(None) };
        let organizations = answer["organizations"].as_array().cloned().unwrap_or_default();
        let mut ids = organizations.iter().filter_map(|of| of["organization_id"].as_str());
        if let Some(id) = ids.find(|id| !id.starts_with(PREFIX)) {
            return Ok(Some(format!("an organization {id:?}")));
        }
        // In this order all users of the canary are beside one another: the first or the last one
        // is another, if any is.
        for sort in ["user", "-user"] {
            let path = format!("licenses/assignments?status=all&limit=1&sort={sort}");
            let answer = self.get(&self.of_account(&path))?.unwrap_or_default();
            let row = &answer["rows"][0];
            let user = row["user"].as_str().filter(|user| !user.starts_with(PREFIX));
            if let Some(user) = user {
                return Ok(Some(format!("a user {user:?}")));
            }
            if let Some(project) = row["project"].as_str() {
                return Ok(Some(format!("a project {project:?}")));
            }
        }
        // Users of the canary act in an organization, each in one. All of them first: what other
        // instances send meanwhile is in the second answer then.
        let users = |of: &Value| of["summary"]["active_users"].as_u64().unwrap_or_default();
        let path = self.of_account("licenses/usage?interval=year");
        let all = users(&self.get(&path)?.unwrap_or_default());
        let answer = self.get(&format!("{path}&group_by=organization"))?.unwrap_or_default();
        let series = answer["series"].as_array().map(Vec::as_slice).unwrap_or_default();
        let others = all.saturating_sub(series.iter().map(users).sum());
        Ok((others > 0).then(|| "users that act in no organization".to_owned()))
    }

    fn of_account(&self, path: &str) -> String {
        format!("/v1/accounts/{}/{path}", self.account)
    }

    /// The answer; `None` for 404.
    fn get(&self, path: &str) -> Result<Option<Value>, AskError> {
        let url = format!("{}{path}", self.url);
        let failed = |reason: String| AskError::Failed(format!("{url}: {reason}"));
        let mut request = self.agent.get(url.as_str()).header("accept", "application/json");
        if let Some(path) = &self.token_file {
            // Read each time: tokens expire, and whoever renews them writes the file anew.
            let token = std::fs::read_to_string(path).map_err(|error| {
                let path = path.display().to_string();
                AskError::Failed(format!("canary.token_file = {path:?} cannot be read: {error}"))
            })?;
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        let mut answer = request.call().map_err(|error| failed(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = body.map_err(|error| failed(error.to_string()))?;
        match status {
            200 => serde_json::from_str(&body)
                .map(Some)
                .map_err(|error| failed(format!("the answer is not JSON: {error}"))),
            404 => Ok(None),
            400 | 401 | 403 => Err(AskError::Refused(format!("{url}: {}", told(status, &body)))),
            _ => Err(failed(told(status, &body))),
        }
    }
}

/// Status and the API's own words.
fn told(status: u16, body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let words = problem["detail"].as_str().or_else(|| problem["title"].as_str());
    let words: String = words
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(TOLD_CHARS_MAX)
        .collect();
    let hint = match status {
        401 | 403 => "; see canary.token_file: it needs the role account_admin in canary.account",
        _ => "",
    };
    if words.is_empty() {
        format!("it answers with status {status}{hint}")
    } else {
        format!("it answers with status {status} ({words}){hint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_refusal_are_repeated_with_the_way_out() {
        let body = r#"{"title":"Forbidden","detail":"The token\n does not allow this."}"#;
        assert_eq!(
            told(403, body),
            "it answers with status 403 (The token does not allow this.); see canary.token_file: \
            it needs the role account_admin in canary.account"
        );
        assert_eq!(told(502, "<html>"), "it answers with status 502");
    }
}
