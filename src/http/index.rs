//! `/`: a page for people that says what is here.

use std::fmt::Write as _;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::route::{Access, endpoints};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
    <title>seatmeter</title>\n<h1>seatmeter</h1>\n\
    <p>Seats and test quota, counted exactly. The reports are JSON over HTTP, and \
    <a href=\"/openapi.json\">/openapi.json</a> describes every parameter and answer.\n<ul>\n";

/// The endpoints of this service, for people
#[utoipa::path(
    get,
    path = "/",
    operation_id = "getIndex",
    tag = "operations",
    responses((
        status = 200,
        description = "A page that lists the endpoints",
        body = String,
        content_type = "text/html",
    ))
)]
pub(super) async fn page() -> Response {
    let mut html = HEAD.to_owned();
    for endpoint in endpoints().iter().filter(|endpoint| endpoint.path != "/") {
        let path = endpoint.path;
        let reader = reader(endpoint.access);
        // A path with a parameter leads nowhere as it stands, so only the others are links.
        let name = if path.contains('{') {
            format!("<code>{path}</code>")
        } else {
            format!("<a href=\"{path}\"><code>{path}</code></a>")
        };
        // Writing to a string does not fail.
        let _ = writeln!(html, "<li>{name} &ndash; {reader}");
    }
    html.push_str("</ul>\n");
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, html).into_response()
}

fn reader(access: Access) -> &'static str {
    match access {
        Access::Public => "for everybody",
        Access::AnyToken => "with any valid token",
        Access::AccountAdmin => "for account admins",
        Access::AnyRoleInAccount => "for account admins; others see their own organizations",
        Access::OrganizationRole => "for owners, admins and billing managers of the organization",
    }
}
