use crate::error::WireError;
use crate::{Reader, Wire, Writer};

/// A last field that older peers leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail<T>(pub Option<T>);

impl<T: Wire> Wire for Tail<T> {
    fn put(&self, out: &mut Writer) {
        if let Some(value) = &self.0 {
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self(if from.is_empty() { None } else { Some(T::take(from)?) }))
    }
}
