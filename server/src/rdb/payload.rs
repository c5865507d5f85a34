//! What DUMP answers and RESTORE takes: a kind and a value, the version of the format, and a checksum of
//! all that.

use hallpass_engine::Value as Stored;
use hallpass_engine::value::ValueSeed;

use super::crc64::crc64;
use super::read::{Limits, Value, read_value};
use super::write::{kind_of, write_value};
use super::{Cursor, RdbError, VERSION_MAX};

/// The version that payloads say they are of. A Redis refuses one above its own, so it is the first that has
/// all that [`write_value`] writes: 8, of Redis 4.0, which brought scores as doubles.
const VERSION_WRITTEN: u16 = 8;

const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// Appends the payload of a value.
pub fn write(value: Stored<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(kind_of(value));
    write_value(value, out);
    out.extend_from_slice(&VERSION_WRITTEN.to_le_bytes());
    let checksum = crc64(0, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads a payload that fills `bytes`. `seed` keys the tables of the value's elements.
///
/// # Errors
/// [`RdbError::Version`] and [`RdbError::Checksum`] before anything else; then what is wrong with the value.
pub fn read(bytes: &[u8], limits: &Limits, seed: ValueSeed) -> Result<Value, RdbError> {
    // What is too short for a checksum has a wrong one.
    let (checked, checksum) =
        bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(RdbError::Checksum)?;
    let (content, version) =
        checked.split_last_chunk::<VERSION_BYTES>().ok_or(RdbError::Checksum)?;
    let version = u16::from_le_bytes(*version);
    if version > VERSION_MAX {
        return Err(RdbError::Version(version));
    }
    if crc64(0, checked) != u64::from_le_bytes(*checksum) {
        return Err(RdbError::Checksum);
    }
    let mut cursor = Cursor::new(content);
    let kind = cursor.byte()?;
    let value = read_value(&mut cursor, kind, limits, seed)?;
    cursor.finish()?;
    Ok(value)
}
