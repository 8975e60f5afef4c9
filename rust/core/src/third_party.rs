//! Decoders that are not ours, which panic over damaged pages: the panic becomes an error, and nothing is printed unless
//! `RUST_BACKTRACE` asks for it.

use std::any::Any;
use std::cell::Cell;
use std::env::var_os;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is expected.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls it; a panic in it is returned, and not printed as those of bugs are.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |info| {
            let asked = var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
            if asked || !GUARDED.try_with(Cell::get).unwrap_or(false) {
                print(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let found = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(outer);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_returned_and_the_next_is_not_expected() {
        assert_eq!(guarded(|| 1).unwrap(), 1);
        let panic = guarded(|| guarded(|| panic!("inner")).unwrap_err()).unwrap();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"inner"));
        assert!(!GUARDED.get());
    }
}
