//! Trim: what lies beyond a smaller size goes (facts 7.2).

use super::Run;
use crate::error::Result;
use crate::striping::Layout;
use crate::throttle::for_each_object;

/// How each object gets past the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It enters like any I/O.
    ByPermit,
    /// The operation keeps the gate closed.
    GateIsClosed,
}

/// Cuts all objects to what remains of them in an image of `size` bytes. The shrinking must have been declared.
pub(super) async fn run(run: &Run, size: u64, entry: Entry) -> Result<()> {
    let state = run.image.state();
    let first = first_object(&state.layout, size);
    let end = state.layout.object_count(state.size).max(first);
    let progress = |done| (run.progress)(done, end - first);
    for_each_object(first..end, run.width(), &run.cancelled, progress, |number| {
        trim_object(run, number, size, entry)
    })
    .await
}

async fn trim_object(run: &Run, number: u64, size: u64, entry: Entry) -> Result<()> {
    let image = &run.image;
    let _permit = match entry {
        Entry::ByPermit => Some(image.enter_for_operation().await?),
        Entry::GateIsClosed => None,
    };
    image
        .on_state(|state| async move {
            let keeps_all =
                state.layout.object_bytes(number, size) >= state.layout.object_bytes(number, state.size);
            if keeps_all { Ok(()) } else { image.data.trim_object(&state, number, size).await }
        })
        .await
}

/// The first object of the stripe set in which an image of `size` bytes ends: all before it keep what they have.
fn first_object(layout: &Layout, size: u64) -> u64 {
    size / (layout.object_size() * layout.stripe_count()) * layout.stripe_count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_before_the_cut_set_are_left_alone() {
        let plain = Layout::new(12, 0, 0).unwrap();
        assert_eq!(first_object(&plain, 0), 0);
        assert_eq!(first_object(&plain, 4096 * 3), 3);
        assert_eq!(first_object(&plain, 4096 * 3 + 1), 3);
        let striped = Layout::new(13, 4096, 2).unwrap();
        assert_eq!(first_object(&striped, 2 * 8192 + 1), 2);
        assert_eq!(first_object(&striped, 2 * 8192 - 1), 0);
    }
}
