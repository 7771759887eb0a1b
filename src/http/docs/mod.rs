//! `/docs`: the API's description for people, drawn by Swagger UI in their browser.
//!
//! Swagger UI is carried by a crate, as an archive whose hash `Cargo.lock` pins, and served from
//! the binary under the policy of the dashboard: nothing comes from another server, nothing runs
//! inline.

use std::io::{Cursor, Read as _};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

use crate::http::page_file::{
    ASK_EACH_TIME, FOR_EVER, PageFile, PagePolicy, aside, hash, media_type,
};

const PAGE: &str = include_str!("page.html");

/// Our own files.
const OWN: [(&str, &[u8]); 2] =
    [("page.css", include_bytes!("page.css")), ("start.js", include_bytes!("start.js"))];

/// Folder of Swagger UI's files in the archive of its crate.
const FOLDER: &str = "swagger-ui-5.32.6/dist";

/// Those of them that the page needs.
const SWAGGER_UI: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

static SITE: LazyLock<Site> = LazyLock::new(Site::new);

/// The files that the page loads, at `/docs/{hash}/{name}`. Everybody may have them.
pub(super) fn files<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/docs/{hash}/{name}", get(file))
}

/// This description, for people
///
/// Swagger UI on `/openapi.json`, from which every report can be tried out.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "getDocs",
    tag = "operations",
    responses((
        status = 200,
        description = "The API, to be read and tried out",
        body = String,
        content_type = "text/html",
    ))
)]
pub(super) async fn page(Extension(policy): Extension<PagePolicy>, headers: HeaderMap) -> Response {
    aside(move || SITE.page.answer(&headers, &policy, ASK_EACH_TIME)).await
}

async fn file(
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
    hash: String,
    files: Vec<(&'static str, PageFile)>,
}

impl Site {
    fn new() -> Self {
        let own = OWN.map(|(name, content)| (name, Bytes::from_static(content)));
        let all = own.into_iter().chain(SWAGGER_UI.map(|name| (name, swagger_ui(name))));
        let all: Vec<(&'static str, Bytes)> = all.collect();
        let hash = hash(all.iter().flat_map(|(name, content)| [name.as_bytes(), content.as_ref()]));
        let page = PAGE.replace("{{files}}", &format!("/docs/{hash}"));
        let file = |(name, content)| (name, PageFile::new(media_type(name), content));
        Self {
            page: PageFile::new("text/html; charset=utf-8", Bytes::from(page)),
            hash,
            files: all.into_iter().map(file).collect(),
        }
    }

    fn file(&self, hash: &str, name: &str) -> Option<&PageFile> {
        let (_, file) = self.files.iter().find(|(known, _)| *known == name)?;
        (hash == self.hash).then_some(file)
    }
}

/// A file of Swagger UI; empty where the archive has none of that name, which a test rules out.
fn swagger_ui(name: &str) -> Bytes {
    let unpack = || -> zip::result::ZipResult<Vec<u8>> {
        let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
        let mut content = Vec::new();
        archive.by_name(&format!("{FOLDER}/{name}"))?.read_to_end(&mut content)?;
        Ok(content)
    };
    unpack().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_there() {
        let page = PAGE.replace("{{files}}", &format!("/docs/{}", SITE.hash));
        let named: Vec<&str> =
            page.split('"').filter_map(|text| text.strip_prefix("/docs/")).collect();
        assert_eq!(named.len(), OWN.len() + SWAGGER_UI.len());
        for address in named {
            let (hash, name) = address.split_once('/').unwrap();
            assert!(SITE.file(hash, name).is_some(), "{address}");
            assert!(SITE.file("0000000000000000", name).is_none(), "{address}");
        }
    }

    #[test]
    fn swagger_ui_comes_from_its_crate() {
        for name in SWAGGER_UI {
            assert!(swagger_ui(name).len() > 100_000, "{name}");
        }
    }

    #[test]
    fn the_page_has_nothing_that_its_policy_forbids() {
        for inline in ["<style", " style=", " onclick=", " onload=", "http://", "https://"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
        assert_eq!(PAGE.matches("<script").count(), PAGE.matches("<script defer src=").count());
    }
}
