//! The stylesheet, the script and the mark, in the binary. Their path has a hash of all three, so browsers keep them for
//! a year and a new version is seen at once.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use sha2::{Digest, Sha256};

const FILES: [(&str, &str, &str); 3] = [
    ("console.css", "text/css; charset=utf-8", include_str!("assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("assets/console.js")),
    ("mark.svg", "image/svg+xml", include_str!("assets/mark.svg")),
];

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut all = Sha256::new();
    for (_, _, text) in FILES {
        all.update(text);
    }
    all.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// Where a file is.
pub(super) fn path(file: &str) -> String {
    format!("/console/assets/{}/{file}", *HASH)
}

/// Answers a file. Under another version's hash (replicas are upgraded one by one) it is not kept.
pub(super) async fn serve(Path((hash, file)): Path<(String, String)>) -> Response {
    let Some((_, kind, text)) = FILES.into_iter().find(|(name, _, _)| *name == file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let keep = if hash == *HASH { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], text).into_response()
}
