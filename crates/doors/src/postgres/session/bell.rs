//! A bell for what a session waits for all its life and hardly ever hears: its end, and the client's wish to cancel.
//!
//! Asking such a wait whether it is over costs a lock that all sessions share. It is asked again only when it has woken
//! somebody; until then, asking is looking at one flag.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Wakes a task, and remembers that it did.
#[derive(Debug)]
pub(super) struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    /// One that has rung: whatever it is for has not been asked yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(true), task: Mutex::default() })
    }

    /// Whether it has rung since this was asked last. Whoever asks is woken when it rings.
    pub(super) fn has_rung(&self, cx: &Context<'_>) -> bool {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        drop(task);
        // INVARIANT: looked at behind the above: what rings from here on finds whom to wake.
        self.rung.load(Ordering::Acquire) && self.rung.swap(false, Ordering::AcqRel)
    }

    /// Not everything that it may have rung for has been asked.
    pub(super) fn again(&self) {
        self.rung.store(true, Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.again();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_says_once_that_it_rang_and_wakes_who_asked_last() {
        let (bell, tasks) = (Bell::new(), [Arc::new(Task::default()), Arc::new(Task::default())]);
        let woken = || tasks.each_ref().map(|task| task.0.load(Ordering::SeqCst));
        let wakers = tasks.each_ref().map(|task| Waker::from(Arc::clone(task)));
        let [first, second] = wakers.each_ref().map(Context::from_waker);
        assert!(bell.has_rung(&first), "nothing was asked yet");
        assert!(!bell.has_rung(&first));
        let ringing = Waker::from(Arc::clone(&bell));
        ringing.wake_by_ref();
        assert_eq!(woken(), [1, 0]);
        assert!(bell.has_rung(&second) && !bell.has_rung(&second));
        ringing.wake_by_ref();
        ringing.wake();
        assert_eq!(woken(), [1, 2]);
        assert!(bell.has_rung(&second) && !bell.has_rung(&second));
        bell.again();
        assert!(bell.has_rung(&second));
        assert_eq!(woken(), [1, 2], "whoever asks again needs no waking");
    }
}
