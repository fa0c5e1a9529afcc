//! Scripts and styles. A debug build reads them from the folder, a release carries them.

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

use super::shell::PageError;

#[derive(RustEmbed)]
#[folder = "pages/static/"]
struct Assets;

/// What a browser has it asks for again, and is told that it is still so: a new release shows at once.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A file of the pages. They are nobody's secret, so that the sign-in page looks like the others.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = Assets::get(&name) else {
        return PageError::NotFound("file").into_response();
    };
    let tag: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let kind = file.metadata.mimetype().to_owned();
    let about = [(header::ETAG, HeaderValue::try_from(tag)), (header::CONTENT_TYPE, HeaderValue::try_from(kind))];
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => file.data.into_owned().into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, ASK_AGAIN);
    for (name, value) in about {
        // Both are written in ASCII.
        if let Ok(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
