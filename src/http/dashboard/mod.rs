//! The dashboard: one page and its files, served from the binary.
//!
//! The page is plain HTML, CSS and ES modules in `assets/`; it draws its charts itself, as SVG, and
//! asks the report API for everything else. Files live below a hash of their content, so a browser
//! may keep them for ever. Nothing here reads a report, knows an account or a token, or changes
//! with a request.

mod zone;

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;

use crate::http::page_file::{
    ASK_EACH_TIME, FOR_EVER, PageFile, PagePolicy, aside, hash, media_type,
};

const PAGE: &str = include_str!("assets/index.html");

macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("assets/", $name)).as_slice())),+]
    };
}

/// Our own files, by name. They name each other relatively, so all of them share one hash.
const ASSETS: &[(&str, &[u8])] = assets![
    "accounts.js",
    "alerts.js",
    "api.js",
    "chart.js",
    "comparison.js",
    "copy.js",
    "dates.js",
    "dom.js",
    "drawing.js",
    "figure.js",
    "filters.js",
    "format.js",
    "icon.svg",
    "loader.js",
    "main.js",
    "messages.js",
    "names.js",
    "organizations.js",
    "paper.js",
    "parts.js",
    "person.js",
    "place.js",
    "print.css",
    "problem.js",
    "quota.js",
    "range.js",
    "reclaim.js",
    "shell.js",
    "sorted-table.js",
    "state.js",
    "style.css",
    "tooltip.js",
    "view-assignments.js",
    "view-history.js",
    "view-overview.js",
    "view-quota.js",
    "view-usage.js",
    "zone.js",
];

static SITE: LazyLock<Site> = LazyLock::new(Site::new);

/// The files that the page loads, at `/assets/{hash}/{name}`, and the clocks of zones. Everybody
/// may have them: they hold no data.
pub(super) fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/assets/{hash}/{name}", get(asset))
        .route("/assets/zone.json", get(zone::clock))
}

/// The dashboard, for people
///
/// A page that draws the reports with what this API answers.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "getDashboard",
    tag = "operations",
    responses((
        status = 200, description = "The dashboard", body = String, content_type = "text/html"
    ))
)]
pub(super) async fn page(Extension(policy): Extension<PagePolicy>, headers: HeaderMap) -> Response {
    aside(move || SITE.page.answer(&headers, &policy, ASK_EACH_TIME)).await
}

async fn asset(
    Path((hash, name)): Path<(String, String)>,
    Extension(policy): Extension<PagePolicy>,
    headers: HeaderMap,
) -> Response {
    aside(move || match SITE.file(&hash, &name) {
        Some(file) => file.answer(&headers, &policy, FOR_EVER),
        None => StatusCode::NOT_FOUND.into_response(),
    })
    .await
}

/// Everything that is served.
struct Site {
    page: PageFile,
    /// Our own files and their hash.
    assets: Vec<(&'static str, PageFile)>,
    assets_hash: String,
}

impl Site {
    fn new() -> Self {
        let assets_hash =
            hash(ASSETS.iter().flat_map(|(name, content)| [name.as_bytes(), content]));
        let base = format!("/assets/{assets_hash}");
        let modules: Vec<String> = ASSETS
            .iter()
            .filter(|(name, _)| name.ends_with(".js"))
            .map(|(name, _)| format!(r#"<link rel="modulepreload" href="{base}/{name}">"#))
            .collect();
        let page = PAGE.replace("{{assets}}", &base).replace("{{modules}}", &modules.join("\n  "));
        Self {
            page: PageFile::new("text/html; charset=utf-8", Bytes::from(page)),
            assets: ASSETS
                .iter()
                .map(|&(name, content)| {
                    (name, PageFile::new(media_type(name), Bytes::from_static(content)))
                })
                .collect(),
            assets_hash,
        }
    }

    fn file(&self, hash: &str, name: &str) -> Option<&PageFile> {
        let (_, file) = self.assets.iter().find(|(known, _)| *known == name)?;
        (hash == self.assets_hash).then_some(file)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read;

    use axum::body::Body;
    use axum::http::header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
    };
    use axum::http::{HeaderName, Request};
    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = assets::<()>()
            .route("/", get(page))
            .layer(Extension(PagePolicy::new(&[])))
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    }

    fn addresses(page: &str) -> BTreeSet<&str> {
        page.split('"').filter(|text| text.starts_with("/assets/")).collect()
    }

    #[tokio::test]
    async fn every_file_that_the_page_names_is_there_for_ever() {
        let (status, headers, page) = ask("/", &[]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[CACHE_CONTROL], "no-cache");
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(!page.contains("{{"), "a placeholder is left in the page");
        let addresses = addresses(&page);
        assert!(addresses.len() > 20, "{addresses:?}");
        for address in addresses {
            let (status, headers, content) = ask(address, &[]).await;
            assert_eq!(status, StatusCode::OK, "{address}");
            assert_eq!(headers[CACHE_CONTROL], FOR_EVER, "{address}");
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.ends_with("frame-ancestors 'none'"), "{address}: {policy}");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{address}");
            assert_ne!(headers[CONTENT_TYPE], "application/octet-stream", "{address}");
            assert!(!content.is_empty(), "{address}");
        }
    }

    #[tokio::test]
    async fn the_clock_of_a_zone_is_told_by_our_own_zone_data() {
        let (status, _, body) = ask("/assets/zone.json?name=America/Vancouver", &[]).await;
        assert_eq!(status, StatusCode::OK);
        let clock: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(clock["release"], crate::core::calendar::RELEASE);
        let last = clock["changes"].as_array().unwrap().last().unwrap();
        assert_eq!(last[1], -7 * 3_600, "Vancouver stays on summer time");
        assert_eq!(ask("/assets/zone.json?name=Mars/Olympus", &[]).await.0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn every_file_in_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/dashboard/assets");
        let mut present: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(present.remove("index.html"));
        assert_eq!(present, ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn the_page_has_nothing_that_its_policy_forbids() {
        for inline in
            ["<style", " style=", " onclick=", " onload=", "javascript:", "http://", "https://"]
        {
            assert!(!PAGE.contains(inline), "{inline}");
        }
        assert_eq!(
            PAGE.matches("<script").count(),
            PAGE.matches(r#"<script type="module" src="#).count()
        );
        for (name, content) in ASSETS.iter().filter(|(name, _)| name.ends_with(".js")) {
            let script = std::str::from_utf8(content).unwrap();
            for unsafe_way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
            ] {
                assert!(!script.contains(unsafe_way), "{name}: {unsafe_way}");
            }
        }
    }

    #[tokio::test]
    async fn what_the_browser_has_is_not_sent_again() {
        let (_, headers, _) = ask("/", &[]).await;
        let etag = headers[ETAG].to_str().unwrap();
        let (status, _, content) = ask("/", &[(IF_NONE_MATCH, etag)]).await;
        assert_eq!((status, content.len()), (StatusCode::NOT_MODIFIED, 0));
        let (status, _, _) = ask("/", &[(IF_NONE_MATCH, "\"of another day\"")]).await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn files_are_sent_compressed_where_that_is_understood() {
        let address = format!("/assets/{}/main.js", SITE.assets_hash);
        let (_, headers, plain) = ask(&address, &[(ACCEPT_ENCODING, "gzip;q=0, identity")]).await;
        assert!(!headers.contains_key(CONTENT_ENCODING));
        let (_, headers, compressed) = ask(&address, &[(ACCEPT_ENCODING, "br, gzip")]).await;
        assert_eq!(headers[CONTENT_ENCODING], "gzip");
        assert!(compressed.len() * 2 < plain.len());
        let mut unpacked = Vec::new();
        GzDecoder::new(compressed.as_ref()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }

    /// What a browser fetches before the first chart; a drawing library alone took 1.4 MB.
    #[tokio::test]
    async fn the_page_with_all_its_files_is_light() {
        let mut sum = 0;
        for (name, _) in ASSETS {
            let address = format!("/assets/{}/{name}", SITE.assets_hash);
            sum += ask(&address, &[(ACCEPT_ENCODING, "gzip")]).await.2.len();
        }
        assert!(sum < 80_000, "{sum} bytes");
    }

    #[tokio::test]
    async fn no_other_name_and_no_other_hash() {
        let known = &SITE.assets_hash;
        for address in
            ["/assets/0000000000000000/main.js".to_owned(), format!("/assets/{known}/nothing.js")]
        {
            assert_eq!(ask(&address, &[]).await.0, StatusCode::NOT_FOUND, "{address}");
        }
    }
}
