//! The default transport. No type of the library it stands on is public.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{Transport, TransportError, TransportErrorKind};
use crate::error::BoxError;

/// Longest answer that is read. The largest page of a carrier's list is some hundred kilobytes.
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// How long to wait for a connection. It must stay below the time-out of an attempt, or a connection that was never made
/// would look like an answer that never came.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an idle connection is kept. Carriers close theirs after a minute or more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// HTTP over pooled connections, TLS with the operating system's root certificates, no redirects, no retries of its own.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: reqwest::Client,
}

impl ReqwestTransport {
    /// Makes a pool of connections. Share it: each has its own.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up, usually because the machine has no root certificates (Debian's package
    /// `ca-certificates`).
    pub fn new() -> Result<Self, TransportError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("telephony-rs/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                let reason = format!(
                    "the HTTPS client could not be set up; are root certificates installed (package ca-certificates)? {}",
                    crate::error_chain(&error)
                );
                TransportError::new(TransportErrorKind::NotSent, reason)
            })?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        let (parts, body) = request.into_parts();
        let mut outgoing = self.client.request(parts.method, parts.uri.to_string()).headers(parts.headers);
        if !body.is_empty() {
            outgoing = outgoing.body(body);
        }
        let mut answer = outgoing.send().await.map_err(classify)?;
        let mut response = http::Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = std::mem::take(answer.headers_mut());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| bad_answer(without_url(error)))? {
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                return Err(bad_answer(format!("it is longer than {MAX_RESPONSE_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        response.body(body.freeze()).map_err(bad_answer)
    }
}

fn bad_answer(source: impl Into<BoxError>) -> TransportError {
    TransportError::new(TransportErrorKind::BadAnswer, source)
}

fn classify(error: reqwest::Error) -> TransportError {
    let kind = if error.is_connect() || error.is_builder() {
        TransportErrorKind::NotSent
    } else {
        TransportErrorKind::NoAnswer
    };
    TransportError::new(kind, without_url(error))
}

/// The URL may hold numbers or keys in its query.
fn without_url(error: reqwest::Error) -> reqwest::Error {
    error.without_url()
}
