//! The pages: what an operator sees in a browser.
//!
//! They are made here, from templates, and whole: a page without its scripts still shows everything. The scripts in `pages/static` do what
//! a document cannot: they send forms to the [HTTP API](crate::api), put what it says beside the fields, and fetch a page again when the
//! gateway says that a call has changed. No carrier is named in them: a form is what the provider's JSON Schema makes it.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `assets` | scripts and styles, carried in the program |
//! | `shell` | what is around every page, and who looks at it |
//! | `form` | a JSON Schema as the fields of a form |
//! | `show` | numbers, money and times as people read them |
//! | `checklist` | what still blocks a call, and how to mend it |
//! | `home`, `configurations`, `workflows`, `calls`, `phone` | the pages themselves |

mod assets;
mod calls;
mod checklist;
mod configurations;
mod form;
mod home;
mod phone;
mod shell;
mod show;
mod workflows;

use axum::{Router, middleware::from_fn, routing::get};
use http::{HeaderName, HeaderValue, header};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::service::Service;

pub(crate) use shell::{not_found, sign_in_failed};

/// Nothing comes from elsewhere, and nothing in a page is a script.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                                       connect-src 'self'; media-src 'self' blob:; worker-src 'self'; form-action 'self'; base-uri 'self'; \
                                       frame-ancestors 'none'";

/// What is said of every page, wherever in the gateway it is answered with.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// The routes of the pages.
pub(crate) fn router() -> Router<Service> {
    let router = Router::new()
        .route("/", get(home::home))
        .route("/configurations", get(configurations::list))
        .route("/configurations/new", get(configurations::new))
        .route("/configurations/{id}", get(configurations::one))
        .route("/workflows", get(workflows::list))
        .route("/workflows/new", get(workflows::new))
        .route("/workflows/{id}", get(workflows::one))
        .route("/calls", get(calls::list))
        .route("/calls/{id}", get(calls::one))
        .route("/phone", get(phone::phone))
        .route("/static/{file}", get(assets::file))
        .layer(from_fn(shell::write_errors));
    // Scripts and styles too.
    HEADERS
        .into_iter()
        .fold(router, |router, (name, value)| router.layer(SetResponseHeaderLayer::if_not_present(name, value)))
}
