//! Histories as files: JSON lines, the first one about the whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{History, Op};

#[derive(Serialize, Deserialize)]
struct Head {
    started: u64,
    patience: u64,
    job: String,
}

impl History {
    /// Writes everything to one file.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut line = |text: serde_json::Result<String>| writeln!(file, "{}", text?);
        let History { started, patience, job, .. } = self;
        let head = Head { started: *started, patience: *patience, job: job.clone() };
        line(serde_json::to_string(&head))?;
        for op in &self.ops {
            line(serde_json::to_string(op))?;
        }
        file.flush()
    }

    /// Reads what [`History::write`] wrote.
    pub(crate) fn read(path: &Path) -> io::Result<History> {
        let mut lines = BufReader::new(File::open(path)?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let Head { started, patience, job } = serde_json::from_str(&first)?;
        let ops: io::Result<Vec<Op>> =
            lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect();
        Ok(History { started, patience, job, ops: ops? })
    }
}

/// Numbers as text, so that what is read is what was written to the last digit.
pub(super) mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(in crate::history) fn serialize<S: Serializer>(
        number: &f64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(in crate::history) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
