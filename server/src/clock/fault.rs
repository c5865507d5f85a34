//! Clocks that are wrong on purpose, set from outside while the process runs: for tests of whole clusters.
//!
//! With `HALLPASS_CLOCK_FILE` in the environment, the named file says how far the wall clock is off, in
//! milliseconds, and after a blank how fast elapsed time runs, in thousandths (1000 if that is missing).
//! It is read again every [`REREAD`]; what is no such pair of numbers changes nothing. Elapsed time never
//! jumps, as the machine's does not. Without the variable a reading costs one load and one branch more.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// The environment variable that names the file.
const CLOCK_FILE: &str = "HALLPASS_CLOCK_FILE";
/// How old what was read from it may be.
const REREAD: Duration = Duration::from_millis(5);
/// Elapsed time at its own speed.
const TRUE_RATE: u64 = 1000;

/// What the file says, and since when elapsed time has run at its present speed.
struct Fault {
    file: PathBuf,
    state: Mutex<State>,
}

struct State {
    read_at: Option<Duration>,
    offset_millis: i64,
    rate_thousandths: u64,
    /// When the speed changed last, by the machine's clock and by the one shown.
    true_base: Duration,
    shown_base: Duration,
}

/// The wall clock, as this process is to see it.
#[inline]
pub(super) fn wall(wall: Duration) -> Duration {
    match fault() {
        None => wall,
        Some(fault) => fault.wall(wall, boot_time()),
    }
}

/// Time since the machine started, suspension included, as this process is to see it.
#[inline]
pub(crate) fn elapsed() -> Duration {
    let elapsed = boot_time();
    match fault() {
        None => elapsed,
        Some(fault) => fault.elapsed(elapsed),
    }
}

#[inline]
fn fault() -> Option<&'static Fault> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    let fault = || std::env::var_os(CLOCK_FILE).map(|file| Fault::new(file.into()));
    FAULT.get_or_init(fault).as_ref()
}

fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

impl Fault {
    fn new(file: PathBuf) -> Self {
        let state = State {
            read_at: None,
            offset_millis: 0,
            rate_thousandths: TRUE_RATE,
            true_base: Duration::ZERO,
            shown_base: Duration::ZERO,
        };
        Self { file, state: Mutex::new(state) }
    }

    fn wall(&self, wall: Duration, elapsed: Duration) -> Duration {
        let mut state = self.state.lock();
        self.reread(&mut state, elapsed);
        let offset = Duration::from_millis(state.offset_millis.unsigned_abs());
        if state.offset_millis < 0 { wall.saturating_sub(offset) } else { wall + offset }
    }

    fn elapsed(&self, elapsed: Duration) -> Duration {
        let mut state = self.state.lock();
        self.reread(&mut state, elapsed);
        state.shown(elapsed)
    }

    fn reread(&self, state: &mut State, elapsed: Duration) {
        if state.read_at.is_some_and(|at| elapsed < at + REREAD) {
            return;
        }
        state.read_at = Some(elapsed);
        let Some((offset, rate)) =
            std::fs::read_to_string(&self.file).ok().and_then(|text| parse(&text))
        else {
            return;
        };
        state.offset_millis = offset;
        if rate != state.rate_thousandths {
            state.shown_base = state.shown(elapsed);
            state.true_base = elapsed;
            state.rate_thousandths = rate;
        }
    }
}

impl State {
    fn shown(&self, elapsed: Duration) -> Duration {
        let since = elapsed.saturating_sub(self.true_base).as_nanos();
        let shown = since * u128::from(self.rate_thousandths) / u128::from(TRUE_RATE);
        self.shown_base + Duration::from_nanos(shown as u64)
    }
}

fn parse(text: &str) -> Option<(i64, u64)> {
    let mut words = text.split_whitespace();
    let offset = words.next()?.parse().ok()?;
    let rate = words.next().map_or(Some(TRUE_RATE), |word| word.parse().ok())?;
    words.next().is_none().then_some((offset, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_file_says_how_wrong_the_clocks_are() {
        let directory = std::env::temp_dir().join(format!("hallpass-clock-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join("clock");
        let fault = Fault::new(file.clone());
        let says = |text: &str| std::fs::write(&file, text).expect("written");

        assert_eq!(fault.wall(millis(5000), millis(100)), millis(5000));
        says("1500");
        assert_eq!(fault.wall(millis(5004), millis(104)), millis(5004), "read again too soon");
        assert_eq!(fault.wall(millis(5005), millis(105)), millis(6505));
        says("-2000");
        assert_eq!(fault.wall(millis(5010), millis(110)), millis(3010));
        says("nonsense");
        assert_eq!(fault.wall(millis(5020), millis(120)), millis(3020));
        says("0");
        assert_eq!(fault.wall(millis(5030), millis(130)), millis(5030));

        says("0 800");
        assert_eq!(fault.elapsed(millis(1000)), millis(1000), "jumped with its speed");
        assert_eq!(fault.elapsed(millis(1100)), millis(1080));
        says("0 1200");
        assert_eq!(fault.elapsed(millis(1200)), millis(1160), "jumped with its speed");
        assert_eq!(fault.elapsed(millis(1300)), millis(1280));
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
