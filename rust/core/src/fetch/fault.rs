//! The first error that a thread met while a decoder read through it: decoders report every error as damage.

use std::cell::RefCell;

use crate::Error;

thread_local! {
    static FAULT: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Keeps an error, unless an earlier one was not taken yet.
pub(super) fn keep_fault(error: &Error) {
    FAULT.with_borrow_mut(|fault| {
        fault.get_or_insert_with(|| error.clone());
    });
}

/// Takes the first error that this thread met since the last call.
pub(super) fn take_fault() -> Option<Error> {
    FAULT.take()
}
