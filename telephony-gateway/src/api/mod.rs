//! The HTTP API, `/api/v1`: JSON, described by an OpenAPI document that is made from this code, wrong requests answered with problem
//! details (RFC 9457).
//!
//! | file | what is in it |
//! | --- | --- |
//! | `auth` | who asks; nothing is answered to nobody |
//! | `problem` | what is answered when something is wrong |
//! | `providers` | the carriers that are linked |
//! | `configurations` | an organization's accounts with them |
//! | `calls` | placing calls, looking at them, following them, and what can be done to one that is up |
//! | `numbers`, `workflows` | phone numbers, and what answers them |
//! | `organization` | its limits and its API tokens |
//! | `softphone` | the softphone that the sandbox rings |
//! | `sandbox` | calls that come in from its simulated carriers |

mod auth;
pub(crate) mod calls;
mod configurations;
mod numbers;
mod organization;
mod problem;
mod providers;
mod sandbox;
mod softphone;
mod workflows;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use tower_http::{catch_panic::CatchPanicLayer, csrf::CsrfLayer};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    pages,
    service::{Service, media, webhooks},
    telemetry,
};
pub(crate) use auth::Caller;
pub(crate) use problem::Problem;

/// The longest body that is read. A private key is the longest thing that anybody sends.
const LARGEST_BODY: usize = 256 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Telephony gateway",
        description = "Phone calls for voice agents, with the carrier as a detail. Every request but webhooks and health needs an API \
                       token (`Authorization: Bearer tel_…`) or a signed-in browser. Wrong requests are answered with problem details \
                       (RFC 9457) that name the field and the reason.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Security),
    security(("api_token" = [])),
    tags(
        (name = "providers", description = "The carriers that are linked"),
        (name = "configurations", description = "Accounts with carriers"),
        (name = "phone numbers", description = "Numbers, and the workflow that answers each"),
        (name = "workflows", description = "What calls are for: the agent that talks"),
        (name = "calls", description = "Placing calls, and following them"),
        (name = "organization", description = "Limits, and API tokens"),
        (name = "sandbox", description = "The simulated carriers, while they run"),
    )
)]
struct Document;

/// How requests authenticate, for the document.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API token"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_token", SecurityScheme::Http(bearer.build()));
    }
}

fn documented() -> (Router<Service>, utoipa::openapi::OpenApi) {
    let v1 = OpenApiRouter::new()
        .routes(routes!(providers::list))
        .routes(routes!(providers::read))
        .routes(routes!(configurations::list, configurations::create))
        .routes(routes!(configurations::read, configurations::change, configurations::delete))
        .routes(routes!(configurations::make_default))
        .routes(routes!(configurations::test))
        .routes(routes!(configurations::import_numbers))
        .routes(routes!(numbers::list))
        .routes(routes!(numbers::change))
        .routes(routes!(workflows::list, workflows::create))
        .routes(routes!(workflows::read, workflows::replace, workflows::delete))
        .routes(routes!(calls::initiate))
        .routes(routes!(calls::list))
        .routes(routes!(calls::live_all))
        .routes(routes!(calls::export))
        .routes(routes!(calls::read))
        .routes(routes!(calls::events))
        .routes(routes!(calls::live))
        .routes(routes!(calls::hang_up))
        .routes(routes!(calls::transfer))
        .routes(routes!(calls::digits))
        .routes(routes!(calls::cost))
        .routes(routes!(calls::recording))
        .routes(routes!(calls::waveform))
        .routes(routes!(organization::read, organization::change))
        .routes(routes!(organization::tokens, organization::create_token))
        .routes(routes!(organization::revoke_token))
        .routes(routes!(softphone::phone))
        .routes(routes!(sandbox::read, sandbox::start, sandbox::stop))
        .routes(routes!(sandbox::call));
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", v1).split_for_parts()
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    documented().1
}

/// What carriers ask, and send a call's audio to.
fn for_carriers(service: Service) -> Router {
    Router::new()
        .route("/api/v1/telephony/inbound/run", any(webhooks::inbound))
        .route("/api/v1/telephony/{provider}/answer/{run}", any(webhooks::about_run))
        .route("/api/v1/telephony/{provider}/events/{run}", any(webhooks::about_run))
        .route("/api/v1/telephony/ws/{workflow}/{organization}/{run}/{token}", get(media::upgrade))
        .layer(DefaultBodyLimit::max(webhooks::LARGEST_WEBHOOK))
        .with_state(service)
}

/// The routes of a gateway that only carriers ask.
pub(crate) fn router_for_carriers(service: Service) -> Router {
    for_carriers(service).route("/healthz", get(healthy)).layer(CatchPanicLayer::new())
}

async fn healthy() -> &'static str {
    "ok\n"
}

/// The routes, the document at `/api/openapi.json`, and a page for people at `/docs`.
pub fn router(service: Service) -> Router {
    let (router, document) = documented();
    let for_carriers = for_carriers(service.clone());
    router
        .route("/sign-in/{token}", get(auth::sign_in))
        .route("/sign-out", post(auth::sign_out))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(SwaggerUi::new("/docs").url("/api/openapi.json", document))
        .merge(pages::router())
        .fallback(|uri: http::Uri, headers: http::HeaderMap| async move { pages::not_found(&headers, &uri) })
        .method_not_allowed_fallback(|| async {
            let status = http::StatusCode::METHOD_NOT_ALLOWED;
            Problem::new(status, "Not with this method", "the page is asked with other methods; `allow` lists them")
        })
        // A page of somebody else's cannot use a browser that is signed in here.
        .layer(CsrfLayer::new())
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(service)
        // Carriers are let in by their signatures and tokens, and not by what a browser would send.
        .merge(for_carriers)
        .layer(axum::middleware::from_fn(telemetry::count))
        .layer(CatchPanicLayer::new())
}

/// Whether calls can be taken: the database answers, and the gateway is not about to end.
async fn ready(State(service): State<Service>) -> Response {
    match service.store().ping().await {
        Ok(()) if service.is_ending() => Problem::from(crate::service::ServiceError::Ending).into_response(),
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            let status = http::StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "Not ready", error.to_string()).into_response()
        }
    }
}

/// What was counted, in Prometheus' text format. It is of all organizations together, and names none.
async fn metrics(State(service): State<Service>, _caller: auth::Caller) -> Response {
    const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match &service.options().metrics {
        Some(metrics) => ([(http::header::CONTENT_TYPE, FORMAT)], metrics.render()).into_response(),
        None => Problem::not_found("page").into_response(),
    }
}

/// A time as the API writes it: RFC 3339, in UTC.
fn rfc3339(time: telephony_core::Timestamp) -> String {
    time.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
