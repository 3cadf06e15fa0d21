//! Threads that know which route they work for, so that each line of a log that is shared by many routes can say whose it
//! is. Not for what they do, nor for how a line looks (`logging`).

use std::cell::RefCell;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, Builder, JoinHandle, Scope};

thread_local! {
    static ROUTE: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The name of the route that this thread works for; None where there is one route alone, and for what is no route's.
pub fn route() -> Option<Arc<str>> {
    // A thread that ends may still have something to say.
    ROUTE
        .try_with(|route| route.borrow().clone())
        .unwrap_or(None)
}

/// From now on this thread, and those that it starts, work for this route.
pub fn work_for(name: Option<Arc<str>>) {
    ROUTE.with(|route| *route.borrow_mut() = name);
}

/// Does something for this route on a thread that works for others too.
pub fn on_behalf_of<T>(name: Option<Arc<str>>, work: impl FnOnce() -> T) -> T {
    let before = route();
    work_for(name);
    let done = work();
    work_for(before);
    done
}

/// Starts a thread that works for the same route as this one.
///
/// # Errors
/// When the system has no more threads.
pub fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let name = route();
    Builder::new().spawn(move || {
        work_for(name);
        work()
    })
}

/// As [`spawn`], of a thread that has ended when this scope does.
///
/// # Errors
/// When the system has no more threads.
pub fn spawn_within<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    let name = route();
    let worker = Builder::new().spawn_scoped(scope, move || {
        work_for(name);
        work()
    });
    worker.map(drop)
}

/// Does something for the same route on a thread of its own, and waits for it. A thread keeps what it ever took of its stack,
/// and of memory that is free again, until it ends: one that waits for weeks leaves to others what takes much.
///
/// # Errors
/// When the system has no more threads.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let name = route();
    thread::scope(|scope| {
        let begun = Builder::new().spawn_scoped(scope, || {
            work_for(name);
            work()
        })?;
        Ok(begun.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
