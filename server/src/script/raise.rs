//! Functions for scripts that raise errors as Redis' own do: any value, with the script's position.
//!
//! What a Rust function given to Lua returns as an error is always an object of `mlua`; scripts expect a table
//! or a text. So it answers whether it went well, and a C function around it raises what it answers. It must
//! be a C function: a Lua function in its place would take the caller's frame in `return redis.call(..)`,
//! and with it the line that the error is to tell.

#![allow(unsafe_code, reason = "C functions of Lua; see each block")]

use mlua::{Function, Lua, ffi};

/// The longest pattern of `string.find` and its kin: matching one recurses about as deep as it is long.
const PATTERN_BYTES_MAX: usize = 16 << 10;

/// What a function wrapped by [`raising`] answers first.
pub(super) mod answer {
    /// What follows is the result.
    pub(crate) const FINE: i64 = 0;
    /// What follows is raised as it is.
    pub(crate) const RAISE: i64 = 1;
    /// The text that follows is raised behind the position of the caller.
    pub(crate) const RAISE_AT: i64 = 2;
}

/// Wraps a function that answers as [`answer`] says.
pub(super) fn raising(lua: &Lua, inner: Function) -> mlua::Result<Function> {
    wrap(lua, inner, raise)
}

/// Wraps a function of patterns: refuses what could exhaust the stack.
pub(super) fn bound_pattern(lua: &Lua, inner: Function) -> mlua::Result<Function> {
    wrap(lua, inner, check_pattern)
}

fn wrap(lua: &Lua, inner: Function, with: ffi::lua_CFunction) -> mlua::Result<Function> {
    // SAFETY: the function given lies on the stack and becomes the closure's only upvalue; the closure is left
    // there in its place.
    unsafe { lua.exec_raw::<Function>(inner, |state| ffi::lua_pushcclosure(state, with, 1)) }
}

/// SAFETY: called by Lua, with the wrapped function as upvalue. Nothing here has a destructor, so an error may
/// leave it.
unsafe extern "C-unwind" fn raise(state: *mut ffi::lua_State) -> std::os::raw::c_int {
    // SAFETY: of `state` only what was pushed is popped: arguments and results.
    unsafe {
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        match ffi::lua_tointeger(state, 1) {
            answer::FINE => ffi::lua_gettop(state) - 1,
            answer::RAISE => {
                ffi::lua_settop(state, 2);
                ffi::lua_error(state)
            }
            _ => {
                ffi::luaL_where(state, 1);
                ffi::lua_pushvalue(state, 2);
                ffi::lua_concat(state, 2);
                ffi::lua_error(state)
            }
        }
    }
}

/// SAFETY: as [`raise`].
unsafe extern "C-unwind" fn check_pattern(state: *mut ffi::lua_State) -> std::os::raw::c_int {
    // SAFETY: of `state` only what was pushed is popped: arguments and results.
    unsafe {
        let mut length = 0;
        if ffi::lua_type(state, 2) == ffi::LUA_TSTRING {
            ffi::lua_tolstring(state, 2, &raw mut length);
        }
        if length > PATTERN_BYTES_MAX {
            ffi::luaL_where(state, 1);
            ffi::lua_pushstring(state, c"pattern too complex".as_ptr());
            ffi::lua_concat(state, 2);
            ffi::lua_error(state)
        } else {
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
            ffi::lua_insert(state, 1);
            ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
            ffi::lua_gettop(state)
        }
    }
}
