//! The table of endpoints (path, access, handler), and the layers around them. But for the
//! dashboard's files, a route that is not in it does not exist.

use std::time::{Duration, Instant};

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::auth::{Access, Admission, PathIds};
use super::state::ApiState;
use super::{dashboard, docs, log, openapi, operations};
use crate::http::page_file::PagePolicy;
use crate::http::reply::problem::Problem;
use crate::http::reports::{
    accounts, alerts, assignments, audit, can_run, ingest, license_history, license_usage,
    organizations, quota, quota_overview, test_activity,
};
use crate::telemetry::http as telemetry;

/// Time for which a browser need not ask again whether it may call the API: the longest that any
/// browser keeps to.
const PREFLIGHT_AGE_MAX: Duration = Duration::from_hours(24);

/// One endpoint.
pub struct Endpoint {
    /// Its path, with parameters in braces.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// The methods that it takes, as the header `Allow` names them.
    pub methods: &'static str,
    handler: MethodRouter<ApiState>,
}

impl Endpoint {
    fn new(path: &'static str, access: Access, handler: MethodRouter<ApiState>) -> Self {
        Self { path, access, methods: "GET, HEAD", handler }
    }

    /// One that takes a body.
    fn taking_body(path: &'static str, access: Access, handler: MethodRouter<ApiState>) -> Self {
        Self { methods: "POST", ..Self::new(path, access, handler) }
    }
}

/// Every endpoint.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new("/v1/accounts", Access::AnyToken, get(accounts::list)),
        Endpoint::new(
            "/v1/accounts/{account_id}/licenses/history",
            Access::AccountAdmin,
            get(license_history::history),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/licenses/usage",
            Access::AccountAdmin,
            get(license_usage::report),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/licenses/assignments",
            Access::AccountAdmin,
            get(assignments::list),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/organizations",
            Access::AnyRoleInAccount,
            get(organizations::list),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/quota",
            Access::AnyRoleInAccount,
            get(quota_overview::list),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/alerts",
            Access::AnyRoleInAccount,
            get(alerts::list),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/organizations/{organization_id}/quota",
            Access::OrganizationRole,
            get(quota::current),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/organizations/{organization_id}/quota/history",
            Access::OrganizationRole,
            get(quota::history),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/organizations/{organization_id}/test-activity",
            Access::OrganizationRole,
            get(test_activity::report),
        ),
        Endpoint::new(
            "/v1/accounts/{account_id}/organizations/{organization_id}/can-run",
            Access::Check,
            get(can_run::one),
        ),
        Endpoint::taking_body("/v1/can-run", Access::AnyToken, post(can_run::many)),
        Endpoint::new("/v1/ingest", Access::AnyToken, get(ingest::report)),
        Endpoint::new("/v1/audit", Access::AnyToken, get(audit::hours)),
        Endpoint::new("/healthz", Access::Public, get(operations::healthz)),
        Endpoint::new("/readyz", Access::Public, get(operations::readyz)),
        Endpoint::new("/metrics", Access::Public, get(operations::metrics)),
        Endpoint::new("/openapi.json", Access::Public, get(openapi::describe)),
        Endpoint::new("/docs", Access::Public, get(docs::page)),
        Endpoint::new("/", Access::Public, get(dashboard::page)),
    ]
}

/// The whole API. From the outside in: a request gets its id and its line in the access log, its
/// host is checked, CORS is settled, the answer is compressed, the time limit runs; then the
/// endpoint's access is decided, and its handler runs.
pub fn router(state: ApiState) -> Router {
    router_of(dashboard::assets().merge(docs::files()), endpoints(), state)
}

/// Health and metrics alone, for a process that serves no reports.
pub(super) fn operations_router(state: ApiState) -> Router {
    const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
    router_of(
        Router::new(),
        endpoints().into_iter().filter(|endpoint| PATHS.contains(&endpoint.path)),
        state,
    )
}

fn router_of(
    mut router: Router<ApiState>,
    endpoints: impl IntoIterator<Item = Endpoint>,
    state: ApiState,
) -> Router {
    telemetry::serves(self::endpoints().iter().map(|endpoint| endpoint.path));
    for endpoint in endpoints {
        let guard = from_fn_with_state((state.clone(), endpoint.access), guard);
        let methods = endpoint.methods;
        let handler = endpoint
            .handler
            .route_layer(guard)
            .fallback(async move || Problem::method_not_allowed(methods));
        router = router.route(endpoint.path, handler);
    }
    let layers = ServiceBuilder::new()
        .layer(from_fn(log::record))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), check_host))
        .layer(cors(state.cors_origins()))
        .layer(from_fn(refuse_encoding))
        .layer(CompressionLayer::new())
        .layer(Extension(PagePolicy::new(state.frame_ancestors())))
        .layer(from_fn_with_state(state.clone(), limit_time));
    router
        .fallback(async || {
            Problem::not_found("There is no such endpoint; /openapi.json lists them.")
        })
        .method_not_allowed_fallback(async || Problem::method_not_allowed("GET, HEAD"))
        .layer(layers)
        .with_state(state)
}

/// Origins that a browser may call from; none is the default.
fn cors(origins: &[String]) -> CorsLayer {
    let allowed = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(allowed))
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH])
        .max_age(PREFLIGHT_AGE_MAX)
        .expose_headers([
            CONTENT_DISPOSITION,
            ETAG,
            RETRY_AFTER,
            HeaderName::from_static(log::REQUEST_ID),
        ])
}

/// Lets a request through to its handler if the caller may make it; the handler finds
/// [`Visible`](crate::report::organizations::Visible),
/// [`Roles`](crate::report::accounts::Roles) and [`MayCheck`](super::auth::MayCheck) in its
/// extensions.
async fn guard(
    State((state, access)): State<(ApiState, Access)>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if access == Access::Public {
        return Ok(next.run(request).await);
    }
    // A path that is not UTF-8 names nothing that anybody was granted.
    let path = path.ok();
    let named = |wanted: &str| {
        path.iter().flatten().find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let named = PathIds { account: named("account_id"), organization: named("organization_id") };
    let Admission { visible, roles, may_check } =
        state.auth().admit(request.headers(), access, named)?;
    request.extensions_mut().insert(visible);
    request.extensions_mut().insert(roles);
    request.extensions_mut().insert(may_check);
    Ok(next.run(request).await)
}

/// Refuses a request without a single host, and one for a host that the API does not answer for.
async fn check_host(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    state.hosts().check(request.headers(), request.uri(), request.version())?;
    Ok(next.run(request).await)
}

/// Gives up an answer that takes longer than the request timeout. The rows of an export may take
/// longer: it limits the wait for the first.
async fn limit_time(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let uri = request.uri().clone();
    match tokio::time::timeout(state.request_timeout(), next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            telemetry::answer_late(uri.path(), log::elapsed_ms(started));
            Problem::timed_out().into_response()
        }
    }
}

/// The compression layer alone answers 406, and sends the report or problem with it that it was
/// given to compress.
async fn refuse_encoding(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::NOT_ACCEPTABLE {
        Problem::not_acceptable().into_response()
    } else {
        response
    }
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    telemetry::handler_panicked(text.unwrap_or("unknown"));
    Problem::internal().into_response()
}
