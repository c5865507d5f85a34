//! Reading the user out of a value: decoders, then the part of a document that a pointer names.
//!
//! Values are what clients send, so everything here takes any bytes: what is damaged has no user. Work is
//! linear in the value's length and values past [`LOOKED_AT_BYTES_MAX`] are not read; documents
//! are walked where they lie, and only what is found is copied.

mod django;
mod java;
mod json;
mod message_pack;
mod php;
mod pointer;
mod text;

use std::borrow::Cow;

use self::pointer::Pointer;
use super::{Decoder, Source};
use crate::value::Collection;

/// A value longer than this has no user.
pub(crate) const LOOKED_AT_BYTES_MAX: usize = 4 << 20;
/// A document nested deeper than this has no user.
const DEPTH_MAX: usize = 64;
/// Where Django keeps the user.
const DJANGO_USER: &[u8] = b"/_auth_user_id";

/// What the bytes at hand are written in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Php,
    PhpSession,
    MessagePack,
    Django,
}

impl Source {
    /// The user in a string, if it has one of at most `bytes_max` bytes.
    pub(crate) fn user_in_string(&self, value: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        if self.field.is_some() { None } else { self.user_in(value, bytes_max) }
    }

    /// The user in a hash, if it has one of at most `bytes_max` bytes.
    pub(crate) fn user_in_collection(
        &self,
        value: &Collection,
        bytes_max: usize,
    ) -> Option<Vec<u8>> {
        match (value, &self.field) {
            (Collection::Hash(hash), Some(field)) => self.user_in(hash.get(field)?, bytes_max),
            _ => None,
        }
    }

    fn user_in(&self, value: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        if value.len() > LOOKED_AT_BYTES_MAX {
            return None;
        }
        let (mut bytes, mut form) = (Cow::Borrowed(value), Form::Json);
        for decoder in &self.decoders {
            bytes = match decoder {
                Decoder::Base64 => Cow::Owned(text::base64(&bytes)?),
                Decoder::Url => Cow::Owned(text::percent(&bytes)?),
                Decoder::Json => {
                    Cow::Owned(json::scalar_at(&bytes, Pointer::default())?.into_owned())
                }
                Decoder::JavaString => Cow::Owned(java::string(&bytes)?),
                Decoder::Strip(prefix) => {
                    let start = bytes.starts_with(prefix).then_some(prefix.len())?;
                    Cow::Owned(bytes.get(start..)?.to_vec())
                }
                Decoder::Django => {
                    form = Form::Django;
                    Cow::Owned(django::json(&bytes)?)
                }
                Decoder::Php => {
                    form = Form::Php;
                    bytes
                }
                Decoder::PhpSession => {
                    form = Form::PhpSession;
                    bytes
                }
                Decoder::MessagePack => {
                    form = Form::MessagePack;
                    bytes
                }
            };
        }
        let pointer = Pointer::new(match (&self.pointer, form) {
            (Some(pointer), _) => pointer,
            (None, Form::Django) => DJANGO_USER,
            (None, _) => b"",
        });
        let user = match form {
            Form::Json if self.pointer.is_none() => bytes,
            Form::Json | Form::Django => json::scalar_at(&bytes, pointer)?,
            Form::Php => php::scalar_at(&bytes, pointer)?,
            Form::PhpSession => php::scalar_of_session(&bytes, pointer)?,
            Form::MessagePack => message_pack::scalar_at(&bytes, pointer)?,
        };
        (!user.is_empty() && user.len() <= bytes_max).then(|| user.into_owned())
    }
}

#[cfg(test)]
mod tests;
