//! The OpenAPI 3.1 document: what each handler says of itself, what all of them have in common, and
//! schemas from which generators make clients that see every field.

mod flat;

use std::sync::LazyLock;

use axum::Json;
use axum::response::IntoResponse;
use serde_json::Value;
use utoipa::openapi::path::Operation;
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
        contact(name = "Whoever runs this server"),
        license(name = "Apache License 2.0", identifier = "Apache-2.0"),
        description = "Who holds a seat, who really uses it, and how many tests may still run.\n\n\
            Days are calendar days in the account's time zone. Every report carries an `ETag`, a \
            hash of the answer without `data_through`, and answers `If-None-Match` with 304. \
            `can-run` is answered from memory, and is not to be kept.",
    ),
    servers((url = "/", description = "The server that this description comes from")),
    paths(
        crate::http::reports::accounts::list,
        crate::http::reports::license_history::history,
        crate::http::reports::license_usage::report,
        crate::http::reports::assignments::list,
        crate::http::reports::organizations::list,
        crate::http::reports::quota_overview::list,
        crate::http::reports::alerts::list,
        crate::http::reports::quota::current,
        crate::http::reports::quota::history,
        crate::http::reports::test_activity::report,
        crate::http::reports::can_run::one,
        crate::http::reports::can_run::many,
        crate::http::reports::ingest::report,
        crate::http::reports::audit::hours,
        super::operations::healthz,
        super::operations::readyz,
        super::operations::metrics,
        describe,
        super::docs::page,
        super::dashboard::page,
    ),
    components(schemas(ProblemDocument)),
    modifiers(&Common),
    tags(
        (name = "accounts", description = "The accounts that a token may see"),
        (name = "licenses", description = "Seats of an account; for account admins"),
        (name = "organizations", description = "The organizations of an account"),
        (name = "quota", description = "Test quota of an organization; for its owners, admins and \
            billing managers"),
        (name = "tests", description = "Test activity of an organization; for its owners, admins \
            and billing managers"),
        (name = "alerts", description = "Quotas and seats that reached a line; for account admins, \
            and those of organizations for their owners, admins and billing managers"),
        (name = "can-run", description = "Whether tests may run; for services, and whoever may see \
            the quota"),
        (name = "operations", description = "How the service itself is doing"),
    )
)]
struct Document;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Document::openapi())
        .expect("a description of text and numbers can be written as JSON");
    flat::flatten(&mut document);
    document
});

/// The document.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// This description
///
/// An OpenAPI 3.1 document of everything that is served, from which clients can be generated;
/// `/docs` shows it to people.
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

/// What all operations have in common: the bearer token, the entity tag of reports, and the
/// problems that may be answered.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for (path, item) in &mut document.paths.paths {
            if let Some(operation) = &mut item.get
                && path.starts_with("/v1/")
                && !path.ends_with("/can-run")
            {
                describe_report(operation);
            }
            if let Some(operation) = &mut item.post {
                let responses = &mut operation.responses.responses;
                responses.insert("413".to_owned(), problem("The body is too large").into());
            }
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                // Where no token is needed, generators and linters want that said.
                operation.security.get_or_insert_default();
                for (status, description) in problems(path) {
                    let responses = &mut operation.responses.responses;
                    let known = responses.entry(status.to_owned());
                    known.or_insert_with(|| problem(description).into());
                }
            }
        }
    }
}

/// Describes the entity tag of a report.
fn describe_report(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    if let Some(RefOr::T(success)) = responses.get_mut("200") {
        let text = ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String);
        let tag = HeaderBuilder::new()
            .schema(Some(text))
            .description(Some("Changes when the figures do, and not with `data_through` alone."))
            .build();
        success.headers.insert("ETag".to_owned(), tag.into());
    }
    let unchanged =
        ResponseBuilder::new().description("The caller has the same answer already").build();
    responses.insert("304".to_owned(), unchanged.into());
}

/// What may be answered besides success, by path: the problems of every request, then those of a
/// report.
fn problems(path: &str) -> Vec<(&'static str, &'static str)> {
    let is_report = path.starts_with("/v1/");
    let names_account = path.contains("{account_id}");
    let mut problems = vec![
        (
            "400",
            if is_report {
                "A parameter or a field is at fault, which `parameter` names, or the request does \
                 not name exactly one host"
            } else {
                "The request does not name exactly one host"
            },
        ),
        (
            "403",
            if names_account {
                "The token grants no role that may read this, whether it exists or not; without \
                 tokens, the API does not answer for this host"
            } else {
                "Without tokens: the API does not answer for this host"
            },
        ),
        ("406", "`Accept-Encoding` leaves neither gzip nor identity"),
        ("500", "A fault of ours"),
        ("504", "The answer took too long"),
    ];
    if is_report {
        problems.extend([
            ("401", "No token, or one that is not good"),
            ("422", "The answer would be too large to be made or sent"),
            (
                "503",
                "Too busy, or the figures cannot be read right now; `Retry-After` says when to \
                 ask again",
            ),
        ]);
    }
    if path.ends_with("/can-run") && names_account {
        problems.push(("404", "The path is not UTF-8"));
    } else if names_account {
        problems.push(("404", "No event has named the account, or the organization has no plan"));
    }
    problems
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content(problem::MEDIA_TYPE, content).build()
}
