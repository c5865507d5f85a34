//! Something borrowed for the length of a call, where functions kept by Lua can find it.

#![allow(unsafe_code, reason = "a reference outside of what lifetimes can say; see each block")]

use std::cell::Cell;

use super::Host;

/// Who carries commands out for the script that runs.
#[derive(Default)]
pub(super) struct Lent {
    host: Cell<Option<*mut (dyn Host + 'static)>>,
}

impl Lent {
    /// Lends `host` out while `run` runs.
    #[allow(
        clippy::transmute_ptr_to_ptr,
        reason = "a cast cannot lengthen the lifetime of a trait object"
    )]
    pub(super) fn lend<R>(&self, host: &mut dyn Host, run: impl FnOnce() -> R) -> R {
        /// Takes it back, even if `run` panics.
        struct TakeBack<'a>(&'a Lent);
        impl Drop for TakeBack<'_> {
            fn drop(&mut self) {
                self.0.host.set(None);
            }
        }
        let host: *mut (dyn Host + '_) = host;
        // SAFETY: only the lifetime changes, and the pointer is gone before it ends.
        let host: *mut (dyn Host + 'static) = unsafe { std::mem::transmute(host) };
        self.host.set(Some(host));
        let _back = TakeBack(self);
        run()
    }

    /// Uses what is lent; `None` when nothing is, or it is in use.
    pub(super) fn with<R>(&self, use_it: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
        let host = self.host.take()?;
        // SAFETY: `lend` has borrowed it for longer than this, and taking it made this the only use.
        let result = use_it(unsafe { &mut *host });
        self.host.set(Some(host));
        Some(result)
    }
}
