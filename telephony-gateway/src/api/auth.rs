//! Who asks: an API token in a header, or a session in a cookie.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Path, State},
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use http::{header, request::Parts};
use telephony_core::{OrganizationId, Secret};

use super::problem::Problem;
use crate::{pages, service::Service};

/// The cookie of a session.
const COOKIE: &str = "telephony_session";

/// How long a session lasts.
const SESSION: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whoever asks, once it is known who that is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) organization: OrganizationId,
}

impl FromRequestParts<Service> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let store = service.store();
        let organization = match bearer(parts) {
            Some(token) => store.owner_of_api_token(&token).await?,
            None => match CookieJar::from_headers(&parts.headers).get(COOKIE) {
                Some(cookie) => store.owner_of_session(&Secret::new(cookie.value())).await?,
                None => None,
            },
        };
        organization.map(|organization| Self { organization }).ok_or_else(Problem::unauthorized)
    }
}

fn bearer(parts: &Parts) -> Option<Secret> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}

/// A sign-in link: it works once, and leaves a session in the browser.
pub(super) async fn sign_in(State(service): State<Service>, jar: CookieJar, Path(token): Path<String>) -> Response {
    match service.store().sign_in(&Secret::new(token), SESSION).await {
        Ok(Some((_, session))) => {
            let cookie = Cookie::build((COOKIE, session.expose().to_owned()))
                .path("/")
                .http_only(true)
                .same_site(SameSite::Strict)
                .secure(service.public_url().scheme() == "https")
                .max_age(time::Duration::try_from(SESSION).unwrap_or(time::Duration::DAY));
            (jar.add(cookie), Redirect::to("../")).into_response()
        }
        Ok(None) => pages::sign_in_failed(),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Ends the session of this browser.
pub(super) async fn sign_out(State(service): State<Service>, jar: CookieJar) -> Response {
    if let Some(cookie) = jar.get(COOKIE)
        && let Err(error) = service.store().sign_out(&Secret::new(cookie.value())).await
    {
        return Problem::from(error).into_response();
    }
    (jar.remove(Cookie::build(COOKIE).path("/")), Redirect::to("./")).into_response()
}
