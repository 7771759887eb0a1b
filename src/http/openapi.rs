//! The OpenAPI 3.1 document.

use axum::Json;
use axum::response::IntoResponse;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{Modify, OpenApi};

use crate::http::reply::problem::{self, ProblemDocument};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "seatmeter",
        description = "Who holds a seat, who really uses it, and how many tests may still run.\n\n\
            Days are calendar days in the account's time zone. Every report carries an `ETag`, a \
            hash of the answer \
            without `data_through`, and answers `If-None-Match` with 304.",
    ),
    paths(
        crate::http::reports::licenses::history,
        crate::http::reports::licenses::usage,
        crate::http::reports::assignments::list,
        crate::http::reports::organizations::list,
        crate::http::reports::quota::current,
        crate::http::reports::quota::history,
        crate::http::reports::test_activity::report,
        crate::http::reports::ingest::report,
        super::operations::healthz,
        super::operations::readyz,
        super::operations::metrics,
        describe,
        super::dashboard::page,
    ),
    components(schemas(ProblemDocument)),
    modifiers(&Common),
    tags(
        (name = "licenses", description = "Seats of an account; for account admins"),
        (name = "organizations", description = "The organizations of an account"),
        (name = "quota", description = "Test quota of an organization; for its owners, admins and \
            billing managers"),
        (name = "tests", description = "Test activity of an organization; for its owners, admins \
            and billing managers"),
        (name = "operations", description = "How the service itself is doing"),
    )
)]
struct Document;

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApi",
    tag = "operations",
    responses((status = 200, description = "The OpenAPI 3.1 document", body = serde_json::Value))
)]
pub(super) async fn describe() -> impl IntoResponse {
    Json(document())
}

/// What all reports have in common: the bearer token, the entity tag, and the problems that may be
/// answered.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for (path, item) in &mut document.paths.paths {
            if !path.starts_with("/v1/") {
                continue;
            }
            let Some(operation) = &mut item.get else { continue };
            let responses = &mut operation.responses.responses;
            if let Some(RefOr::T(success)) = responses.get_mut("200") {
                let tag = HeaderBuilder::new()
                    .schema(Some(
                        ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String),
                    ))
                    .description(Some(
                        "Changes when the figures do, and not with `data_through` alone.",
                    ))
                    .build();
                success.headers.insert("ETag".to_owned(), tag.into());
            }
            let unchanged = ResponseBuilder::new()
                .description("The caller has the same answer already")
                .build();
            responses.insert("304".to_owned(), unchanged.into());
            for (status, description) in problems(path) {
                responses.insert(status.to_owned(), problem(description).into());
            }
        }
    }
}

fn problems(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut problems = vec![
        (
            "400",
            "A parameter is at fault, which `parameter` names, or the request does not name \
            exactly one host",
        ),
        ("401", "No token, or one that is not good"),
        ("406", "`Accept-Encoding` leaves neither gzip nor identity"),
        ("403", "Without tokens: the API does not answer for this host"),
        ("422", "The answer would be too large to be made or sent"),
        ("500", "A fault of ours"),
        (
            "503",
            "Too busy, or the figures cannot be read right now; `Retry-After` says when to ask \
            again",
        ),
        ("504", "The answer took too long"),
    ];
    if path.contains("{account_id}") {
        problems.retain(|(status, _)| *status != "403");
        problems.push((
            "403",
            "The token grants no role that may read this, whether it exists or not; without \
            tokens, the API does not answer for \
             this host",
        ));
        problems.push(("404", "No event has named the account, or the organization has no plan"));
    }
    problems
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content(problem::MEDIA_TYPE, content).build()
}
