//! The library that makes a replica's fsync fail or take longer, at a word.

use std::path::{Path, PathBuf};

use crate::tools;

/// The built library.
#[derive(Debug, Clone)]
pub(crate) struct Shim(PathBuf);

impl Shim {
    /// Builds it into `folder`.
    pub(crate) fn build(folder: &Path) -> Result<Shim, String> {
        let source = tools::root().join("tests/jepsen-like/disk/shim.c").display().to_string();
        let library = folder.join("shim.so");
        let name = library.display().to_string();
        tools::run("cc", &["-shared", "-fPIC", "-O1", "-o", &name, &source, "-ldl"])?;
        Ok(Shim(library))
    }

    pub(crate) fn library(&self) -> String {
        self.0.display().to_string()
    }
}

/// What goes wrong on one replica's disk, told to its process through a file.
#[derive(Debug, Clone)]
pub(crate) struct Switch(PathBuf);

impl Switch {
    pub(crate) fn new(folder: &Path, name: &str) -> Switch {
        Switch(folder.join(format!("{name}.fault")))
    }

    pub(crate) fn file(&self) -> String {
        self.0.display().to_string()
    }

    /// Has every fsync fail.
    pub(crate) fn fail(&self) {
        std::fs::write(&self.0, "E").unwrap();
    }

    /// Has every fsync take so much longer.
    pub(crate) fn slow(&self, milliseconds: u64) {
        std::fs::write(&self.0, format!("S{milliseconds}")).unwrap();
    }

    /// Ends the fault; how many times it took effect.
    pub(crate) fn off(&self) -> usize {
        // Neither file is there if nothing was wrong.
        drop(std::fs::remove_file(&self.0));
        let fired = PathBuf::from(format!("{}.fired", self.file()));
        let times = std::fs::read(&fired).map_or(0, |bytes| bytes.len());
        drop(std::fs::remove_file(fired));
        times
    }

    /// How many times the present fault took effect.
    pub(crate) fn fired(&self) -> usize {
        std::fs::read(format!("{}.fired", self.file())).map_or(0, |bytes| bytes.len())
    }
}
