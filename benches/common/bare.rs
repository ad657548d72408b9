//! The least that a log must do.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Records per second when `together` of them are appended and then synced, on one thread.
pub(crate) fn run(path: &Path, record_bytes: usize, together: usize, duration: Duration) -> f64 {
    let mut file = File::options().create_new(true).append(true).open(path).unwrap();
    let records = vec![b'x'; record_bytes * together];
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < duration {
        file.write_all(&records).unwrap();
        file.sync_data().unwrap();
        count += together;
    }
    let per_second = count as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    per_second
}
