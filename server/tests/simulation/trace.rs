//! Everything that happened in a run, as one number, and on request as text.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};

/// The trace of one run.
pub(crate) struct Trace {
    sum: u64,
    events: u64,
    line: String,
    file: Option<BufWriter<File>>,
}

impl Trace {
    /// A trace, written to a file if one is named.
    pub(crate) fn new(path: Option<&str>) -> Self {
        let file = path.map(|path| BufWriter::new(File::create(path).expect("a trace's file")));
        Self { sum: 0xcbf2_9ce4_8422_2325, events: 0, line: String::new(), file }
    }

    /// Something happened.
    pub(crate) fn note(&mut self, event: std::fmt::Arguments<'_>) {
        self.line.clear();
        writeln!(self.line, "{event}").expect("memory takes it");
        for byte in self.line.bytes() {
            self.sum = (self.sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.events += 1;
        if let Some(file) = &mut self.file {
            file.write_all(self.line.as_bytes()).expect("the trace's file takes it");
        }
    }

    /// How many events there were, and their sum.
    pub(crate) fn sum(&self) -> (u64, u64) {
        (self.events, self.sum)
    }

    /// Writes what is still in memory.
    pub(crate) fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            file.flush().expect("the trace's file takes it");
        }
    }
}
