//! What is around every page: who looks at it, where they are, and what they see when there is no page for them.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension,
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, header, request::Parts};
use telephony_core::{OrganizationId, error_chain};
use tracing::error;

use crate::{
    api::{Caller, Problem},
    service::{RunningSandbox, Service},
    store::{Organization, StoreError},
};

/// Which part of the pages one belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Home,
    Workflows,
    Calls,
    Accounts,
    Phone,
}

/// What is around a page.
#[derive(Debug)]
pub(super) struct Shell {
    /// How the browser comes from the page's address to the root of the gateway's, wherever a proxy has put that: `./`, `../`, ….
    pub(super) root: String,
    /// The part that is open.
    pub(super) part: Part,
    /// Whose pages they are.
    pub(super) organization: String,
}

/// Somebody who is signed in and looks at a page.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) service: Service,
    pub(super) organization: Organization,
    root: String,
}

impl Visitor {
    pub(super) fn owner(&self) -> OrganizationId {
        self.organization.id
    }

    /// The simulated carriers that run for this organization, if they do.
    pub(super) fn sandbox(&self) -> Option<Arc<RunningSandbox>> {
        self.service.sandbox().filter(|running| running.owner() == self.organization.id)
    }

    pub(super) fn sandbox_runs(&self) -> bool {
        self.sandbox().is_some()
    }

    /// A carrier's name for people; of one that is not linked any more, the stored word.
    pub(super) fn carrier(&self, provider: &str) -> String {
        let known = self.service.registry().get(provider);
        known.map_or_else(|_| format!("{provider} (not linked)"), |descriptor| descriptor.display_name().to_owned())
    }

    /// Whether the sandbox can be started from here.
    pub(super) fn sandbox_is_offered(&self) -> bool {
        self.service.options().offer_sandbox && !telephony_sandbox::registered().is_empty()
    }

    pub(super) fn shell(&self, part: Part) -> Shell {
        Shell { root: self.root.clone(), part, organization: self.organization.name.clone() }
    }
}

impl FromRequestParts<Service> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Response> {
        let root = root_from(parts.uri.path());
        let caller = match Caller::from_request_parts(parts, service).await {
            Ok(caller) => caller,
            Err(problem) if problem.is_unauthorized() => return Err(sign_in(root)),
            Err(problem) => return Err(PageError::Failed(problem.to_string()).into_response()),
        };
        let found = service.store().organization(caller.organization).await;
        let found = found.map_err(|error| PageError::from(error).into_response())?;
        let organization = found.ok_or_else(|| sign_in(root.clone()))?;
        Ok(Self { service: service.clone(), organization, root })
    }
}

/// The way from a page's path to the root.
fn root_from(path: &str) -> String {
    match path.trim_start_matches('/').matches('/').count() {
        0 => "./".to_owned(),
        depth => "../".repeat(depth),
    }
}

/// A page, written.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, super::HEADERS, Html(text)).into_response(),
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "A page could not be written.");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written; the log says more\n").into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignIn {
    root: String,
    has_failed: bool,
}

fn sign_in(root: String) -> Response {
    page(StatusCode::UNAUTHORIZED, &SignIn { root, has_failed: false })
}

/// What is shown to somebody whose link is not good, or not any more.
pub(crate) fn sign_in_failed() -> Response {
    page(StatusCode::UNAUTHORIZED, &SignIn { root: "../".to_owned(), has_failed: true })
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    root: String,
    title: &'static str,
    detail: String,
}

/// That there is no such page: to a browser a page that says so, to programs problem details.
pub(crate) fn not_found(headers: &HeaderMap, uri: &Uri) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    match accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        true => PageError::NotFound("page").written(root_from(uri.path())),
        false => Problem::not_found("page").into_response(),
    }
}

/// Why a page cannot be shown.
#[derive(Clone, Debug)]
pub(super) enum PageError {
    NotFound(&'static str),
    Failed(String),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error_chain(&error))
    }
}

/// It does not know at which address it is shown, so it is no page yet: [`write_errors`] makes it one.
impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        (Extension(self), StatusCode::INTERNAL_SERVER_ERROR).into_response()
    }
}

impl PageError {
    fn written(self, root: String) -> Response {
        let (status, title, detail) = match self {
            Self::NotFound(what) => {
                let detail =
                    format!("There is no such {what}. It may have been deleted, or belong to another organization.");
                (StatusCode::NOT_FOUND, "Not found", detail)
            }
            Self::Failed(reason) => {
                error!(reason, "A page could not be shown.");
                let detail = "The gateway failed, and nothing was done. Its log says more.".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed", detail)
            }
        };
        page(status, &Message { root, title, detail })
    }
}

/// Makes pages of errors.
pub(super) async fn write_errors(uri: Uri, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<PageError>() {
        Some(error) => error.written(root_from(uri.path())),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_root_is_as_long_as_the_path() {
        assert_eq!(["/", "/calls", "/calls/7", "/a/b/c/d"].map(root_from), ["./", "./", "../", "../../../"]);
    }
}
