//! What the operating system knows of this process and of the files of an engine.

use std::fs;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

use crate::Result;

/// Bytes passed to `write` and its kin so far; field `wchar` of `/proc/self/io` (Linux, `proc.rst`). What a file
/// system writes beyond that is not counted, for no engine.
pub(crate) fn written_bytes() -> Result<u64> {
    field("/proc/self/io", "wchar:")
}

/// The most memory that the process has had at once: `VmHWM` of `/proc/self/status`.
pub(crate) fn peak_memory_bytes() -> Result<u64> {
    Ok(field("/proc/self/status", "VmHWM:")? * 1024)
}

fn field(path: &str, name: &str) -> Result<u64> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("{path}: {error} (the bench needs Linux)"))?;
    parse_field(&text, name).ok_or_else(|| format!("no {name} in {path}").into())
}

fn parse_field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// The blocks that the files below `folder` take on the disk, in bytes.
pub(crate) fn disk_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    each_file(folder, &mut |path| {
        // An engine may delete a file between the listing and this.
        if let Ok(metadata) = fs::metadata(path) {
            bytes += metadata.blocks() * 512;
        }
        Ok(())
    })?;
    Ok(bytes)
}

/// Has the kernel write whatever it still holds back, so that no engine waits for what another has written.
pub(crate) fn write_out() {
    rustix::fs::sync();
}

/// Makes the kernel forget what it has cached of the files below `folder`, which no process may have open.
pub(crate) fn forget_cached(folder: &Path) -> Result<()> {
    each_file(folder, &mut |path| {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        // Only what is on the disk can be forgotten.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
        Ok(())
    })
}

fn each_file(folder: &Path, visit: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            each_file(&path, visit)?;
        } else {
            visit(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_the_number_behind_its_name() {
        assert_eq!(
            parse_field("VmPeak:\t 9 kB\nVmHWM:\t  7304 kB\n", "VmHWM:"),
            Some(7304)
        );
        assert_eq!(parse_field("rchar: 1\nwchar: 22\n", "wchar:"), Some(22));
        assert_eq!(parse_field("rchar: 1\n", "wchar:"), None);
    }

    #[test]
    fn files_are_counted_in_all_folders_and_may_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), vec![1; 1 << 20]).unwrap();
        forget_cached(folder.path()).unwrap();
        assert!(disk_bytes(folder.path()).unwrap() >= 1 << 20);
    }

    #[test]
    fn this_process_has_figures() {
        assert!(peak_memory_bytes().unwrap() > 0);
        written_bytes().unwrap();
    }
}
