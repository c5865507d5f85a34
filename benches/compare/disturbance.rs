//! Times at which something else on the machine held a core that a measurement needed.
//!
//! On a machine that is not idle the tail of latencies is that of the neighbours: a compiler's time slice is
//! milliseconds long. The scheduler counts how long each thread was ready and had to wait. What a server's
//! threads wait for each other is the server's own doing and stays in; what exceeds that is left out, with the
//! time it takes to work off what piled up, and said.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::server::Server;
use hallpass_benches::error::{Context, Result};

/// How often is looked. It costs the generator about ten microseconds.
const SEGMENT_NS: u64 = 5_000_000;
/// Waiting for longer than this in one segment is a disturbance; waking up hundreds of times takes less.
const WAIT_NS_MAX: u64 = 500_000;

/// What the scheduler has counted for one thread.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    ran_ns: u64,
    waited_ns: u64,
}

/// Looks at the threads of a server and at the generator's.
#[derive(Debug)]
pub(crate) struct Watch {
    generator: File,
    server: Vec<File>,
    before: (Counted, Vec<Counted>),
    looked_ns: u64,
    disturbed: Vec<Range<u64>>,
}

impl Watch {
    /// Begins at time zero of the measurement.
    pub(crate) fn begin(server: &Server) -> Result<Self> {
        let open = |path: &Path| File::open(path).context(path.display().to_string());
        let generator = open(Path::new("/proc/thread-self/schedstat"))?;
        let tasks = server.tasks();
        let mut files = Vec::new();
        for task in fs::read_dir(&tasks).context(tasks.as_str())? {
            files.push(open(&task.context(tasks.as_str())?.path().join("schedstat"))?);
        }
        let mut watch = Self {
            generator,
            server: files,
            before: (Counted::default(), Vec::new()),
            looked_ns: 0,
            disturbed: Vec::new(),
        };
        watch.before = watch.read();
        Ok(watch)
    }

    /// Looks if it is time to. `behind` says whether requests are due that wait for a connection.
    pub(crate) fn look(&mut self, now_ns: u64, behind: bool) {
        if behind
            && let Some(last) = self.disturbed.last_mut()
            && last.end >= now_ns
        {
            last.end = now_ns + SEGMENT_NS;
        }
        if now_ns.saturating_sub(self.looked_ns) < SEGMENT_NS {
            return;
        }
        let (generator, server) = self.read();
        let generator_waited = generator.waited_ns.saturating_sub(self.before.0.waited_ns);
        let passed = server.iter().zip(&self.before.1).map(|(now, before)| Counted {
            ran_ns: now.ran_ns.saturating_sub(before.ran_ns),
            waited_ns: now.waited_ns.saturating_sub(before.waited_ns),
        });
        let passed: Vec<Counted> = passed.collect();
        if generator_waited.max(waited_for_others(&passed)) > WAIT_NS_MAX {
            // What is under way is answered within the next segment.
            self.disturbed.push(self.looked_ns..now_ns + SEGMENT_NS);
        }
        self.before = (generator, server);
        self.looked_ns = now_ns;
    }

    /// Whether a disturbance falls into this time.
    pub(crate) fn disturbs(&self, from_ns: u64, to_ns: u64) -> bool {
        // Ranges may overlap, but both their starts and their ends ascend.
        let first = self.disturbed.partition_point(|range| range.end <= from_ns);
        self.disturbed.get(first).is_some_and(|range| range.start < to_ns)
    }

    fn read(&self) -> (Counted, Vec<Counted>) {
        (counted(&self.generator), self.server.iter().map(counted).collect())
    }
}

/// How long a server's threads waited for somebody else than each other.
fn waited_for_others(threads: &[Counted]) -> u64 {
    let waited: u64 = threads.iter().map(|thread| thread.waited_ns).sum();
    let ran: u64 = threads.iter().map(|thread| thread.ran_ns).sum();
    let busiest = threads.iter().map(|thread| thread.ran_ns).max().unwrap_or_default();
    waited.saturating_sub(ran - busiest)
}

/// A thread that has ended counts nothing.
fn counted(file: &File) -> Counted {
    let mut text = [0; 80];
    let length = file.read_at(&mut text, 0).unwrap_or_default();
    parsed(std::str::from_utf8(&text[..length]).unwrap_or_default())
}

/// Reads what the kernel writes: nanoseconds on a core, nanoseconds waited, time slices.
fn parsed(text: &str) -> Counted {
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    Counted { ran_ns: next(), waited_ns: next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_server_may_wait_for_each_other() {
        let thread = |ran_ns, waited_ns| Counted { ran_ns, waited_ns };
        assert_eq!(waited_for_others(&[thread(900, 100), thread(100, 0)]), 0);
        assert_eq!(waited_for_others(&[thread(900, 700), thread(100, 0)]), 600);
        assert_eq!(waited_for_others(&[]), 0);
    }

    #[test]
    fn what_overlaps_a_disturbance_is_disturbed() {
        let file = || File::open("/proc/thread-self/schedstat").expect("Linux has it");
        let watch = Watch {
            generator: file(),
            server: vec![file()],
            before: (Counted::default(), Vec::new()),
            looked_ns: 0,
            disturbed: vec![10..20, 15..30, 50..60],
        };
        for (from, to, expected) in
            [(0, 10, false), (5, 11, true), (12, 13, true), (20, 25, true), (30, 50, false)]
        {
            assert_eq!(watch.disturbs(from, to), expected, "{from}..{to}");
        }
        assert!(watch.disturbs(59, 100) && !watch.disturbs(60, 100));
    }

    #[test]
    fn the_kernels_line_is_read() {
        let Counted { ran_ns, waited_ns } = parsed("1200 34 5\n");
        assert_eq!((ran_ns, waited_ns), (1200, 34));
        assert_eq!(parsed("").ran_ns, 0);
    }
}
