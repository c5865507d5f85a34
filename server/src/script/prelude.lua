-- Builds what a script sees: its globals, and the libraries it may use and not change.
--
-- `native` holds what is written in Rust. Returned are the environment of scripts and the table its globals are in.

local native = ...

local error, type, next, tostring = error, type, next, tostring
local pcall, loadstring, load, setfenv = pcall, loadstring, load, setfenv
local rawset, setmetatable, getmetatable = rawset, setmetatable, getmetatable
local byte, concat = string.byte, table.concat
local raw_string = string

-- What scripts see in place of a table that is not theirs to change, and that table.
local guarded = setmetatable({}, {__mode = "k"})
local READONLY = "Attempt to modify a readonly table"

local function deny()
    error(READONLY, 2)
end

local function guard(inner)
    local seen = setmetatable({}, {__index = inner, __newindex = deny, __metatable = false})
    guarded[seen] = inner
    return seen
end

local globals = {}
for _, name in pairs({
    "assert", "error", "ipairs", "next", "pairs", "rawequal", "rawget", "select", "tonumber", "tostring",
    "type", "unpack", "xpcall", "collectgarbage", "gcinfo", "_VERSION",
}) do
    globals[name] = _G[name]
end

local strings, maths, coroutines, tables = string, {}, {}, {}
for name, value in pairs(table) do tables[name] = value end
-- These write past metatables, so what is guarded would take what they write.
for _, name in pairs({"insert", "remove", "sort"}) do
    local change = table[name]
    tables[name] = function(target, ...)
        if target ~= nil and guarded[target] then
            error(READONLY, 0)
        end
        return change(target, ...)
    end
end
for name, value in pairs(math) do maths[name] = value end
for name, value in pairs(coroutine) do coroutines[name] = value end
for _, name in pairs({"find", "match", "gmatch", "gfind", "gsub"}) do
    strings[name] = native.bound_pattern(strings[name])
end
maths.random, maths.randomseed = native.random, native.randomseed

-- Of an error that is a table with a text, pcall gives the text.
local function pass(ok, problem, ...)
    if not ok and type(problem) == "table" and type(problem.err) == "string" then
        return ok, problem.err
    end
    return ok, problem, ...
end

function globals.pcall(...)
    return pass(pcall(...))
end

local env

function globals.loadstring(text, name)
    if type(text) == "string" and byte(text) == 27 then
        return nil, "attempt to load a binary chunk"
    end
    local chunk, problem = loadstring(text, name)
    if chunk then
        setfenv(chunk, env)
    end
    return chunk, problem
end

function globals.load(reader, name)
    local parts = {}
    while true do
        local part = reader()
        if part == nil or part == "" then
            break
        end
        parts[#parts + 1] = part
    end
    return globals.loadstring(concat(parts), name or "=(load)")
end

function globals.rawset(target, key, value)
    if guarded[target] then
        error(READONLY, 0)
    end
    return rawset(target, key, value)
end

function globals.setmetatable(target, meta)
    if guarded[target] then
        error(READONLY, 0)
    end
    return setmetatable(target, meta)
end

getmetatable("").__metatable = false
local meta_of_strings = guard({})

function globals.getmetatable(target)
    if type(target) == "string" then
        return meta_of_strings
    end
    return getmetatable(target) or nil
end

globals.string = guard(strings)
globals.table = guard(tables)
globals.math = guard(maths)
globals.coroutine = guard(coroutines)
globals.redis = guard(native.redis)
globals.cjson = guard(native.cjson)
globals.bit = guard(native.bit)

setmetatable(globals, {__index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end})
env = guard(globals)
rawset(globals, "_G", env)

return env, globals
