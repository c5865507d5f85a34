//! The byte that says which op follows. A number here is written into logs: it is never changed, and
//! never given to another op. New ops take free numbers of their family's block, which is how the reader
//! finds the family.

pub(super) const SET: u8 = 1;
pub(super) const SET_MANY: u8 = 2;
pub(super) const APPEND: u8 = 3;
pub(super) const SET_RANGE: u8 = 4;
pub(super) const INCREMENT: u8 = 5;
pub(super) const INCREMENT_FLOAT: u8 = 6;
pub(super) const GET_DELETE: u8 = 7;
pub(super) const GET_EXPIRE: u8 = 8;
pub(super) const DELETE: u8 = 9;
pub(super) const EXPIRE: u8 = 10;
pub(super) const PERSIST: u8 = 11;
pub(super) const RENAME: u8 = 12;
pub(super) const COPY: u8 = 13;
pub(super) const FLUSH: u8 = 14;
pub(super) const RESTORE: u8 = 15;
pub(super) const UNCHANGED: u8 = 16;
pub(super) const REGISTERS: u8 = 17;

pub(super) const HASH_SET: u8 = 32;
pub(super) const HASH_DELETE: u8 = 33;
pub(super) const HASH_INCREMENT: u8 = 34;
pub(super) const HASH_INCREMENT_FLOAT: u8 = 35;

pub(super) const SET_ADD: u8 = 48;
pub(super) const SET_REMOVE: u8 = 49;
pub(super) const SET_POP: u8 = 50;
pub(super) const SET_MOVE: u8 = 51;
pub(super) const SET_STORE: u8 = 52;

pub(super) const SORTED_ADD: u8 = 64;
pub(super) const SORTED_REMOVE: u8 = 65;
pub(super) const SORTED_REMOVE_RANGE: u8 = 66;
pub(super) const SORTED_POP: u8 = 67;

pub(super) const LIST_PUSH: u8 = 80;
pub(super) const LIST_POP: u8 = 81;
pub(super) const LIST_TRIM: u8 = 82;
pub(super) const LIST_REMOVE: u8 = 83;
pub(super) const LIST_SET: u8 = 84;
pub(super) const LIST_INSERT: u8 = 85;
pub(super) const LIST_MOVE: u8 = 86;

pub(super) const SESSION_CREATE: u8 = 96;
pub(super) const SESSION_SAVE: u8 = 97;
pub(super) const SESSION_META: u8 = 98;
pub(super) const SESSION_TOUCH: u8 = 99;
pub(super) const SESSION_REAUTHENTICATE: u8 = 100;
pub(super) const SESSION_ROTATE: u8 = 101;
pub(super) const SESSION_REVOKE: u8 = 102;
pub(super) const SESSION_REVOKE_OWNED: u8 = 103;
pub(super) const SESSION_REVOKE_USER: u8 = 104;
pub(super) const SESSION_REVOKE_ALL: u8 = 105;

pub(super) const RULE_SET: u8 = 112;
pub(super) const RULE_DELETE: u8 = 113;
pub(super) const RULE_INDEX: u8 = 114;
