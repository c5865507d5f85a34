//! Everything a run found, as files: JSON with each round for machines, Markdown for documents.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::{Context, Result};
use crate::memory::Footprint;
use crate::peer::Peer;
use crate::throughput::Point;

/// What a run found; parts that were not asked for are empty.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The servers that took part.
    pub(crate) servers: Vec<Peer>,
    /// The mix of `GET` and `SETEX`.
    pub(crate) get: Vec<Point>,
    /// Validating sessions.
    pub(crate) session: Vec<Point>,
    /// Memory.
    pub(crate) memory: Vec<Footprint>,
    /// The tables.
    #[serde(skip)]
    pub(crate) markdown: String,
}

impl Report {
    /// Writes the files into `directory` and prints where they are.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        save(directory, "compare.json", &json.context("encoding the report")?)?;
        save(directory, "compare.md", self.markdown.trim_start().as_bytes())
    }
}

fn save(directory: &Path, name: &str, contents: &[u8]) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, contents).context(format!("writing {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
