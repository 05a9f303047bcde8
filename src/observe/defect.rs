//! Panics that are looked for, so that the log does not call them a defect.

use std::cell::Cell;
use std::panic::{UnwindSafe, catch_unwind};

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Does something that panics when it meets what others have made badly. The log says nothing of it.
///
/// # Errors
///
/// What it panicked with.
pub fn expected<T>(work: impl FnOnce() -> T + UnwindSafe) -> std::thread::Result<T> {
    let before = EXPECTED.replace(true);
    let done = catch_unwind(work);
    EXPECTED.set(before);
    done
}

/// Whether a panic of this thread is looked for at present.
pub fn is_expected() -> bool {
    EXPECTED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_done_inside_is_expected() {
        assert!(!is_expected());
        assert!(expected(is_expected).unwrap());
        assert!(expected(|| panic!("here")).is_err());
        assert!(!is_expected());
    }
}
