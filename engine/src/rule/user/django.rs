//! A session of Django as JSON: signed, perhaps compressed, or in the form of before Django 3.1.
//!
//! Signed: `payload:time:signature`, the payload base64 of JSON; with a dot in front it is compressed by
//! zlib. Before: base64 of `signature:json`. Signatures are not checked: whoever can write to the store
//! needs no forged session (`django.core.signing`, `django.contrib.sessions.backends.base`).

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::{LOOKED_AT_BYTES_MAX, text};

/// The session's JSON text.
pub(super) fn json(session: &[u8]) -> Option<Vec<u8>> {
    let Some(end) = session.iter().position(|byte| *byte == b':') else {
        let signed = text::base64(session)?;
        let colon = signed.iter().position(|byte| *byte == b':')?;
        return signed.get(colon + 1..).map(<[u8]>::to_vec);
    };
    let payload = session.get(..end)?;
    match payload.strip_prefix(b".") {
        None => text::base64(payload),
        Some(compressed) => {
            let compressed = text::base64(compressed)?;
            decompress_to_vec_zlib_with_limit(&compressed, LOOKED_AT_BYTES_MAX).ok()
        }
    }
}
