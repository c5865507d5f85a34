//! What every disk promises, and what the volatile and the simulated one lose.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Disk, DiskFile, LockError, RealDisk, Remains, SimulatedDisk, VolatileDisk};

/// A real directory that goes when this is dropped.
pub(in crate::cluster) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(in crate::cluster) fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("hallpass-disk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(in crate::cluster) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn append(file: &Arc<dyn DiskFile>, bytes: &[u8]) {
    file.append(&mut [IoSlice::new(bytes)]).unwrap();
}

fn content(disk: &dyn Disk, name: &str) -> Vec<u8> {
    let file = disk.open(name).unwrap();
    let mut bytes = vec![0; file.bytes().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn every_disk(check: impl Fn(&dyn Disk)) {
    let directory = TemporaryDirectory::new();
    check(&RealDisk::open(directory.path()).unwrap());
    let directory = TemporaryDirectory::new();
    check(&VolatileDisk::open(directory.path()).unwrap());
    check(&SimulatedDisk::new(1));
}

#[test]
fn files_are_written_at_their_end_and_read_anywhere() {
    every_disk(|disk| {
        let file = disk.create("one").unwrap();
        file.append(&mut [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]).unwrap();
        file.sync_data().unwrap();
        append(&file, b"fg");
        assert_eq!(file.bytes().unwrap(), 7);
        let mut middle = [0; 4];
        file.read_exact_at(&mut middle, 3).unwrap();
        assert_eq!(&middle, b"defg");
        file.read_exact_at(&mut middle[..2], 1).unwrap();
        assert_eq!(&middle, b"bcfg");
        file.read_exact_at(&mut middle, 4).unwrap_err();
        file.truncate(6).unwrap();
        file.truncate(3).unwrap();
        append(&file, b"xyz");
        assert_eq!(content(disk, "one"), b"abcxyz");
        file.sync_data().unwrap();
        assert_eq!(content(disk, "one"), b"abcxyz");
    });
}

#[test]
fn names_are_created_renamed_and_removed() {
    every_disk(|disk| {
        let one = disk.create("one").unwrap();
        append(&one, b"1");
        append(&disk.create("two").unwrap(), b"2");
        assert!(disk.create("two").is_err());
        assert!(disk.open("three").is_err());
        assert_eq!(disk.list().unwrap(), ["one", "two"]);
        disk.rename("two", "three").unwrap();
        disk.sync_directory().unwrap();
        disk.rename("three", "one").unwrap();
        assert_eq!(disk.list().unwrap(), ["one"]);
        assert_eq!(content(disk, "one"), b"2");
        disk.remove("one").unwrap();
        assert!(disk.remove("one").is_err());
        disk.sync_directory().unwrap();
        assert!(disk.list().unwrap().is_empty());
        let mut byte = [0];
        one.read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(&byte, b"1", "who has a removed file open reads on");
    });
}

#[test]
fn a_directory_is_one_users_at_a_time() {
    every_disk(|disk| {
        let lock = disk.lock().unwrap();
        let error = disk.lock().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, LockError::InUse { .. }));
        assert!(text.contains(&disk.directory().display().to_string()), "{text}");
        assert!(!disk.list().unwrap().contains(&"LOCK".to_owned()));
        drop(lock);
        drop(disk.lock().unwrap());
    });
}

#[test]
fn a_lock_says_which_process_holds_it() {
    let directory = TemporaryDirectory::new();
    let disk = RealDisk::open(directory.path().join("deep").join("down")).unwrap();
    let _lock = disk.lock().unwrap();
    let text = disk.lock().unwrap_err().to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    let Err(error) = VolatileDisk::open(disk.directory()) else { panic!("it is locked") };
    assert!(matches!(error, LockError::InUse { .. }));
}

/// Does work on a volatile disk, forgets it as a killed process would, and opens it anew.
fn after_kill(directory: &TemporaryDirectory, work: impl FnOnce(&VolatileDisk)) -> VolatileDisk {
    let disk = VolatileDisk::open(directory.path()).unwrap();
    work(&disk);
    drop(disk);
    VolatileDisk::open(directory.path()).unwrap()
}

#[test]
fn a_volatile_disk_forgets_what_was_not_synced() {
    let directory = TemporaryDirectory::new();
    let disk = after_kill(&directory, |disk| {
        let file = disk.create("kept").unwrap();
        append(&file, b"durable");
        file.sync_data().unwrap();
        disk.sync_directory().unwrap();
        append(&file, b" not");
        let nameless = disk.create("nameless").unwrap();
        append(&nameless, b"synced, but nobody finds it");
        nameless.sync_data().unwrap();
    });
    assert_eq!(disk.list().unwrap(), ["kept"]);
    assert_eq!(content(&disk, "kept"), b"durable");
    let on_disk = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(on_disk, 2, "the file and the lock, nothing hidden is left");
    drop(disk);

    let disk = after_kill(&directory, |disk| {
        disk.open("kept").unwrap().truncate(2).unwrap();
        disk.rename("kept", "renamed").unwrap();
    });
    assert_eq!(disk.list().unwrap(), ["kept"]);
    assert_eq!(content(&disk, "kept"), b"durable");
    drop(disk);

    let disk = after_kill(&directory, |disk| {
        let file = disk.open("kept").unwrap();
        file.truncate(2).unwrap();
        append(&file, b"o");
        file.sync_data().unwrap();
        disk.rename("kept", "renamed").unwrap();
        disk.sync_directory().unwrap();
        disk.remove("renamed").unwrap();
    });
    assert_eq!(disk.list().unwrap(), ["renamed"]);
    assert_eq!(content(&disk, "renamed"), b"duo");
}

#[test]
fn a_simulated_crash_loses_what_was_asked() {
    let torn = |seed, remains| {
        let disk = SimulatedDisk::new(seed);
        let file = disk.create("a").unwrap();
        append(&file, &[1; 700]);
        file.sync_data().unwrap();
        disk.sync_directory().unwrap();
        append(&file, &[2; 3000]);
        disk.create("b").unwrap();
        let after = disk.crash(remains);
        assert!(file.bytes().is_err() && disk.list().is_err(), "the power was off");
        after.content()
    };
    for seed in 0..50 {
        let nothing = torn(seed, Remains::Nothing);
        assert_eq!(nothing.len(), 1);
        assert_eq!(nothing["a"], [1; 700]);
        assert_eq!(torn(seed, Remains::Everything)["a"].len(), 3700);
        for remains in [Remains::Prefix, Remains::Blocks] {
            let content = torn(seed, remains);
            assert_eq!(content, torn(seed, remains), "the same seed, the same bytes");
            assert_eq!(content["a"][..700], [1; 700]);
        }
        assert!(torn(seed, Remains::Prefix)["a"][700..].iter().all(|byte| *byte == 2));
    }
    let holes = |content: Vec<u8>| content.windows(2).any(|pair| pair == [0, 2]);
    assert!((0..50).any(|seed| holes(torn(seed, Remains::Blocks)["a"].clone())));
}

#[test]
fn a_simulated_disk_fails_as_asked() {
    let disk = SimulatedDisk::new(1);
    let file = disk.create("a").unwrap();
    disk.sync_directory().unwrap();
    disk.set_capacity(Some(10));
    append(&file, b"123456");
    let error = file.append(&mut [IoSlice::new(b"7890"), IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(content(&disk, "a"), b"1234567890");

    disk.fail_sync_after(0);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    let disk = disk.crash(Remains::Nothing);
    assert_eq!(content(&disk, "a"), b"", "a failed sync is not mended by a later one");

    let file = disk.open("a").unwrap();
    disk.cut_power_after(disk.operations() + 1);
    append(&file, b"1");
    file.append(&mut [IoSlice::new(b"2")]).unwrap_err();
    file.sync_data().unwrap_err();
    assert_eq!(disk.crash(Remains::Everything).content()["a"], b"1");

    let disk = SimulatedDisk::new(1);
    disk.put("a", &[0, 0]);
    assert!(disk.flip_bit("a", 9) && !disk.flip_bit("a", 16));
    assert_eq!(disk.content()["a"], [0, 2]);
}
