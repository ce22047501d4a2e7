//! Counts the syncs of this process, whichever engine asks for them.
//!
//! The executable defines `fsync` and `fdatasync` itself, so that the calls of all code linked into it, Rust's standard
//! library and RocksDB's C++ alike, arrive here. Each goes on to the kernel as it is. Whoever syncs by a system call of
//! his own, as rustix does, is not counted; no engine here does.

use std::ffi::c_int;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

static SYNCS: AtomicU64 = AtomicU64::new(0);

/// How many syncs the process has begun so far.
pub(crate) fn count() -> u64 {
    SYNCS.load(Ordering::Relaxed)
}

fn forward(descriptor: c_int, sync: fn(BorrowedFd<'_>) -> rustix::io::Result<()>) -> c_int {
    SYNCS.fetch_add(1, Ordering::Relaxed);
    #[expect(
        unsafe_code,
        reason = "the C interface hands over a number; its owner keeps it open during the call"
    )]
    // SAFETY: a caller of fsync holds the descriptor open until it returns. A number that is no descriptor would only
    // make the kernel answer EBADF.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // The kernel's reason is lost, since errno is not set here; that the sync has failed is not.
    if sync(descriptor).is_ok() { 0 } else { -1 }
}

#[expect(
    unsafe_code,
    reason = "takes the place of the C library's function of this name"
)]
// SAFETY: same signature and meaning as in POSIX, but for errno.
#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: c_int) -> c_int {
    forward(descriptor, |descriptor| rustix::fs::fsync(descriptor))
}

#[expect(
    unsafe_code,
    reason = "takes the place of the C library's function of this name"
)]
// SAFETY: same signature and meaning as in POSIX, but for errno.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    forward(descriptor, |descriptor| rustix::fs::fdatasync(descriptor))
}

#[cfg(test)]
mod tests {
    #[test]
    fn syncs_of_the_standard_library_are_counted() {
        let file = tempfile::tempfile().unwrap();
        let before = super::count();
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        assert!(super::count() >= before + 2);
    }
}
