/// Whether a value is at the front of these bytes. `take` gives it, and how many bytes it left; `put` writes it.
///
/// # Panics
///
/// When what follows the value has a say in what it is, or when it is read differently from how it is written.
pub fn reread<T>(
    bytes: &[u8],
    take: impl Fn(&[u8]) -> Option<(T, usize)>,
    put: impl Fn(&T) -> Vec<u8>,
) -> bool {
    let Some((value, left)) = take(bytes) else { return false };
    let written = put(&value);
    for (what, bytes) in [("its part alone", &bytes[..bytes.len() - left]), ("what was written", &written)] {
        let (again, left) = take(bytes).unwrap_or_else(|| panic!("{what} does not decode"));
        assert_eq!(left, 0, "{what} is not read to its end");
        assert_eq!(put(&again), written, "{what} is another value");
    }
    true
}
