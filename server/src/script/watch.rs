//! Watches a script from a hook that Lua calls every so many instructions: what ends it, and when it is to let
//! others run.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mlua::{HookTriggers, Lua, VmState};

use super::Scripts;
use super::aside::{Back, may_step_aside, step_aside};
use crate::clock::Ticks;

/// Instructions between two looks.
const STEP: u32 = 1_000;
/// Between two steps aside.
const ASIDE_NANOS: u64 = 1_000_000;

/// What a script may use, and who is told that it takes long.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Instructions; 0 for no limit.
    pub(crate) instructions_max: u64,
    /// Bytes of Lua's memory; 0 for no limit.
    pub(crate) memory_bytes_max: u64,
    /// From then on it lets the other tasks of its thread run.
    pub(crate) alone_millis: u64,
    /// Set from then on.
    pub(crate) busy: Option<Arc<AtomicBool>>,
}

/// Why a script ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Killed,
    Instructions,
}

impl Cause {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Killed => "ERR Script killed by user with SCRIPT KILL.",
            Self::Instructions => {
                "ERR Script ended: it needs more instructions than 'script-instructions-max'"
            }
        }
    }
}

/// The state of the script that runs on a machine.
#[derive(Default)]
pub(super) struct Watch {
    scripts: Cell<Option<Arc<Scripts>>>,
    busy: Cell<Option<Arc<AtomicBool>>>,
    left: Cell<u64>,
    alone_nanos: Cell<u64>,
    began: Cell<Option<Ticks>>,
    aside_at: Cell<u64>,
    kills: Cell<u64>,
    /// Whether it has written, so that it may not be killed.
    written: Cell<bool>,
    ended: Cell<Option<Cause>>,
}

/// Counts a script among those that run.
pub(super) struct Running<'a>(&'a Watch, Arc<Scripts>);

impl Watch {
    /// Begins to watch a script.
    pub(super) fn begin(
        self: &Rc<Self>,
        lua: &Lua,
        scripts: &Arc<Scripts>,
        bounds: &Bounds,
    ) -> mlua::Result<Running<'_>> {
        let limit = bounds.instructions_max;
        self.left.set(if limit == 0 { u64::MAX } else { limit });
        self.alone_nanos.set(bounds.alone_millis.saturating_mul(1_000_000));
        self.began.set(Some(scripts.clock.ticks()));
        self.aside_at.set(0);
        self.kills.set(scripts.kills.load(Ordering::Acquire));
        self.written.set(false);
        self.ended.set(None);
        self.busy.set(bounds.busy.clone());
        self.scripts.set(Some(Arc::clone(scripts)));
        scripts.running.fetch_add(1, Ordering::AcqRel);
        let running = Running(self, Arc::clone(scripts));
        hook(lua, self, STEP)?;
        Ok(running)
    }

    /// Notes that the script has written.
    pub(super) fn note_write(&self) {
        if !self.written.replace(true) {
            self.with_scripts(|scripts| scripts.unkillable.fetch_add(1, Ordering::AcqRel));
        }
    }

    /// Why it ended early, if it did.
    pub(super) fn ended(&self) -> Option<Cause> {
        self.ended.get()
    }

    fn spend(&self) {
        match self.left.get().checked_sub(u64::from(STEP)) {
            Some(left) => self.left.set(left),
            None => self.ended.set(Some(Cause::Instructions)),
        }
    }

    fn look(&self) -> Option<Cause> {
        if self.ended.get().is_some() {
            return self.ended.get();
        }
        self.spend();
        if self.ended.get().is_none() {
            self.with_scripts(|scripts| self.look_around(scripts));
        }
        self.ended.get()
    }

    fn look_around(&self, scripts: &Scripts) {
        let killed = scripts.kills.load(Ordering::Acquire) != self.kills.get();
        if (killed && !self.written.get()) || scripts.ending.load(Ordering::Acquire) {
            self.ended.set(Some(Cause::Killed));
            return;
        }
        let Some(began) = self.began.get() else { return };
        let nanos = scripts.clock.nanos(began, scripts.clock.ticks());
        if nanos < self.alone_nanos.get().max(self.aside_at.get()) {
            return;
        }
        if let Some(busy) = self.busy.take() {
            busy.store(true, Ordering::Release);
            self.busy.set(Some(busy));
        }
        if may_step_aside() && step_aside() == Back::End {
            self.ended.set(Some(Cause::Killed));
        }
        let now = scripts.clock.nanos(began, scripts.clock.ticks());
        self.aside_at.set(now.saturating_add(ASIDE_NANOS));
    }

    fn with_scripts<R>(&self, look: impl FnOnce(&Scripts) -> R) -> Option<R> {
        let scripts = self.scripts.take()?;
        let result = look(&scripts);
        self.scripts.set(Some(scripts));
        Some(result)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Self(watch, scripts) = self;
        if let Some(busy) = watch.busy.take() {
            busy.store(false, Ordering::Release);
        }
        watch.scripts.set(None);
        if watch.written.get() {
            scripts.unkillable.fetch_sub(1, Ordering::AcqRel);
        }
        scripts.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Has Lua call back every `step` instructions, in whichever coroutine.
fn hook(lua: &Lua, watch: &Rc<Watch>, step: u32) -> mlua::Result<()> {
    let watch = Rc::clone(watch);
    let triggers = HookTriggers::new().every_nth_instruction(step);
    lua.set_global_hook(triggers, move |lua, _debug| match watch.look() {
        None => Ok(VmState::Continue),
        Some(cause) => {
            if step > 1 {
                // From here on each instruction raises, so that `pcall` cannot keep the script alive.
                hook(lua, &watch, 1)?;
            }
            Err(mlua::Error::runtime(cause.text()))
        }
    })
}
