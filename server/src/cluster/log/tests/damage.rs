//! Torn tails are cut, damage is refused, and no changed record is ever taken for a true one.

use bytes::Bytes;
use fastrand::Rng;

use super::super::format::{Decoded, Kind, RecordHeader};
use super::super::{Log, OpenError};
use super::model::{Driven, Model, found, schedule};
use super::{append, bytes, copy, indexes, last_file, open, try_open, well};
use crate::cluster::disk::{Remains, SimulatedDisk};

/// Three batches in one segment; the lengths after each.
fn three_batches() -> (SimulatedDisk, Log, Vec<usize>) {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    let mut lengths = Vec::new();
    append(&log, 0..2);
    lengths.push(last_file(&disk).1.len());
    log.save_vote(bytes("vote"), well);
    append(&log, 2..4);
    lengths.push(last_file(&disk).1.len());
    append(&log, 4..6);
    lengths.push(last_file(&disk).1.len());
    (disk, log, lengths)
}

/// The same files, as after a crash in which everything written was kept.
fn crashed(disk: &SimulatedDisk) -> SimulatedDisk {
    copy(disk)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    let (disk, _log, lengths) = three_batches();
    let (name, content) = last_file(&disk);
    for length in lengths[1]..=content.len() {
        let torn = crashed(&disk);
        torn.put(&name, &content[..length]);
        let (log, recovered) = open(&torn);
        let whole = (length - lengths[1]) / 36;
        let expected: Vec<_> = (0..4 + whole as u64).collect();
        assert_eq!(indexes(&log), expected, "cut at {length}");
        // Zeros at its end cannot be told from reserved room.
        let torn_bytes = (length - lengths[1]) % 36;
        assert_eq!(recovered.torn_bytes > 0, torn_bytes > 0, "cut at {length}");
        assert!(recovered.torn_bytes <= torn_bytes as u64, "cut at {length}");
        assert_eq!(recovered.vote, Some(bytes("vote")));
        append(&log, 4 + whole as u64..9);
        drop(log);
        let (log, recovered) = open(&torn);
        assert_eq!((indexes(&log).len(), recovered.torn_bytes), (9, 0));
    }
}

#[test]
fn garbage_and_zeros_after_the_end_are_cut() {
    let (disk, _log, _) = three_batches();
    let (name, content) = last_file(&disk);
    for (junk, torn_bytes) in [
        // Reserved room, in which nothing was lost.
        (vec![0; 4], 0),
        (vec![0; 4096], 0),
        (vec![0xff; 777], 777),
        // Counted in whole words.
        ([b"entry 5", &[0; 100][..]].concat(), 8),
    ] {
        let torn = crashed(&disk);
        torn.put(&name, &[&content[..], &junk].concat());
        let (log, recovered) = open(&torn);
        assert_eq!(recovered.torn_bytes, torn_bytes);
        assert_eq!(indexes(&log), [0, 1, 2, 3, 4, 5]);
        assert!(torn.content()[&name].starts_with(&content));
        assert_eq!(torn.content()[&name].len(), content.len(), "what was cut is gone");
    }
}

#[test]
fn every_flipped_bit_in_the_middle_is_refused_and_in_the_last_write_cut() {
    let (disk, _log, lengths) = three_batches();
    let (name, content) = last_file(&disk);
    for bit in 0..content.len() * 8 {
        let flipped = crashed(&disk);
        assert!(flipped.flip_bit(&name, bit as u64));
        match try_open(&flipped) {
            Ok((log, recovered)) => {
                assert!(bit / 8 >= lengths[1], "bit {bit} was acknowledged long ago");
                let whole = 4 + (bit / 8 - lengths[1]) as u64 / 36;
                assert_eq!(indexes(&log), (0..whole).collect::<Vec<_>>());
                assert!(recovered.torn_bytes > 0);
            }
            Err(error) => {
                assert!(bit / 8 < lengths[1], "bit {bit} may be torn: {error}");
                let OpenError::Damaged { file, offset, .. } = &error else { panic!("{error}") };
                assert!(file.ends_with(&name));
                assert!(
                    *offset as usize <= bit / 8 && bit / 8 - (*offset as usize) < 36,
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn a_closed_log_shows_even_damage_in_its_last_write() {
    let (disk, log, lengths) = three_batches();
    drop(log);
    let (name, _) = last_file(&disk);
    for bit in 0..lengths[2] * 8 {
        let flipped = crashed(&disk);
        assert!(flipped.flip_bit(&name, bit as u64));
        let error = try_open(&flipped).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "bit {bit}: {error}");
    }
}

#[test]
fn a_hole_in_the_last_write_is_torn_not_damaged() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..1);
    let synced = last_file(&disk).1.len();
    append(&log, 1..6);
    let (name, mut content) = last_file(&disk);
    content[synced..synced + 40].fill(0);
    let torn = crashed(&disk);
    torn.put(&name, &content);
    let (log, recovered) = open(&torn);
    assert_eq!(indexes(&log), [0], "the sound records after the hole belong to the same write");
    assert_eq!(recovered.torn_bytes as usize, content.len() - synced);
    // What was cut does not come back beside what is written next.
    append(&log, 1..2);
    let (log, _) = {
        drop(log);
        open(&torn.crash(Remains::Nothing))
    };
    assert_eq!(indexes(&log), [0, 1]);
}

#[test]
fn damage_before_the_last_segment_is_refused() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..30);
    let segments = disk.content();
    assert!(segments.len() >= 3);
    let last = last_file(&disk).0;
    for (name, content) in segments.iter().filter(|(name, _)| **name != last) {
        for bit in (0..content.len() as u64 * 8).step_by(5) {
            let flipped = crashed(&disk);
            flipped.flip_bit(name, bit);
            let error = try_open(&flipped).unwrap_err().to_string();
            assert!(error.contains(name.as_str()), "{error}");
        }
        for length in 0..content.len() {
            let shortened = crashed(&disk);
            shortened.put(name, &content[..length]);
            try_open(&shortened).unwrap_err();
        }
    }
}

#[test]
fn a_segment_that_lost_its_last_record_is_refused() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..2);
    let without_vote = last_file(&disk);
    log.save_vote(bytes("vote"), well);
    log.write_batch();
    // In the next segment, whose beginning repeats the vote: only the length shows the loss.
    log.append([(2, bytes(&"x".repeat(390)))], well);
    log.write_batch();
    let (name, content) = without_vote;
    assert!(disk.content()[&name].len() > content.len());
    disk.put(&name, &content);
    let error = try_open(&crashed(&disk)).unwrap_err();
    let OpenError::Damaged { file, offset, .. } = &error else { panic!("{error}") };
    assert!(file.ends_with(&name) && *offset == content.len() as u64, "{error}");
}

#[test]
fn a_record_in_another_place_is_not_sound() {
    let header = RecordHeader {
        payload_bytes: 5,
        payload_checksum: 6,
        since_synced: 7,
        kind: Kind::Entry,
        index: 8,
    };
    let bytes = header.encode(3, 100);
    assert_eq!(RecordHeader::decode(3, 100, &bytes), Decoded::Sound(header));
    assert_eq!(RecordHeader::decode(3, 104, &bytes), Decoded::Damaged);
    assert_eq!(RecordHeader::decode(4, 100, &bytes), Decoded::Damaged);
    assert_eq!(RecordHeader::decode(3, 100, &bytes[..27]), Decoded::Damaged);
}

#[test]
fn missing_segments_are_refused() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..60);
    log.purge_through(20, bytes("m"), well);
    log.write_batch();
    let names: Vec<_> = disk.content().into_keys().collect();
    assert!(names.len() >= 3 && names[0] != "segment-0000000001.log");
    for missing in &names[..names.len() - 1] {
        let gap = SimulatedDisk::new(1);
        for (name, content) in disk.content().iter().filter(|(name, _)| *name != missing) {
            gap.put(name, content);
        }
        let error = try_open(&gap).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("simulated"), "{error}");
    }
}

#[test]
fn a_torn_head_without_predecessors_is_refused() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..60);
    log.save_vote(bytes("vote"), well);
    log.purge_through(59, bytes("m"), well);
    log.write_batch();
    let (name, content) = last_file(&disk);
    assert_eq!(disk.content().len(), 1);
    for length in 0..36 {
        let torn = crashed(&disk);
        torn.put(&name, &content[..length]);
        assert!(matches!(try_open(&torn), Err(OpenError::Damaged { .. })), "{length} bytes");
    }
}

#[test]
fn later_versions_are_not_guessed_at() {
    let (disk, _log, _) = three_batches();
    let (name, mut content) = last_file(&disk);
    content[8] = 2;
    let checksum = crc32c::crc32c(&content[..32]);
    content[32..36].copy_from_slice(&checksum.to_le_bytes());
    disk.put(&name, &content);
    let error = try_open(&crashed(&disk)).unwrap_err();
    assert!(matches!(error, OpenError::Unsupported { version: 2, .. }), "{error}");
}

/// Changes some bytes, lengths or names of a log's files.
fn mutate(disk: &SimulatedDisk, random: &mut Rng) -> SimulatedDisk {
    let mut files: Vec<(String, Vec<u8>)> = disk.content().into_iter().collect();
    for _ in 0..random.usize(1..4) {
        if files.is_empty() {
            break;
        }
        let (one, other) = (random.usize(..files.len()), random.usize(..files.len()));
        let (kind, donor) = (random.u8(..9), files[other].1.clone());
        let content = &mut files[one].1;
        let place = random.usize(..=content.len());
        match kind {
            0..3 if place < content.len() => content[place] ^= 1 << random.u8(..8),
            3 if place < content.len() => content[place] = random.u8(..),
            4 => content.truncate(place),
            5 => {
                let end = content.len().min(place + random.usize(..200));
                content[place..end].fill(0);
            }
            6 => {
                // Aligned, so that it looks its best.
                let (from, to) = (random.usize(..=donor.len()) / 4 * 4, place / 4 * 4);
                let piece: Vec<_> =
                    donor[from..].iter().copied().take(random.usize(..120)).collect();
                content.splice(to..content.len().min(to + piece.len()), piece);
            }
            7 => *content = donor,
            8 => drop(files.remove(one)),
            _ => content.extend((0..random.usize(..64)).map(|_| random.u8(..))),
        }
    }
    let mutant = SimulatedDisk::new(0);
    for (name, content) in files {
        mutant.put(&name, &content);
    }
    mutant
}

#[test]
fn mutated_files_never_panic_and_never_tell_a_lie() {
    let cases = std::env::var("HALLPASS_CASES").ok().and_then(|cases| cases.parse().ok());
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..cases.unwrap_or(60_u64) {
        let mut random = Rng::with_seed(seed);
        let disk = SimulatedDisk::new(seed);
        let mut driven = Driven::new(open(&disk).0, Model::default(), 0);
        assert!(driven.run(&schedule(&mut random, 60)));
        let states = driven.states.clone();
        // Half of them were closed, half crashed.
        let files = if random.bool() {
            copy(&disk)
        } else {
            drop(driven);
            copy(&disk)
        };
        for _ in 0..200 {
            let mutant = mutate(&files, &mut random);
            match try_open(&mutant) {
                Ok((log, recovered)) => {
                    opened += 1;
                    let (model, _) = found(&log, &recovered);
                    assert!(states.contains(&model), "seed {seed}: {model:?} never was");
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} opened, {refused} refused");
}

#[test]
fn a_payload_that_looks_like_a_record_is_a_payload() {
    let disk = SimulatedDisk::new(1);
    let (log, _) = open(&disk);
    append(&log, 0..3);
    let content = Bytes::from(last_file(&disk).1);
    log.append([(3, content.clone())], well);
    log.write_batch();
    drop(log);
    let (log, _) = open(&disk);
    assert_eq!(log.entry(3).unwrap(), Some(content));
    assert_eq!(indexes(&log), [0, 1, 2, 3]);
}
