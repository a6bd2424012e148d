//! The hash by which Ceph places and lists objects.

/// Between a namespace and a name that are hashed together.
const SEPARATOR: u8 = 0x1f;

/// Ceph's hash of an object: rjenkins over its name, with a namespace over both.
pub fn object_hash(namespace: &[u8], name: &[u8]) -> u32 {
    if namespace.is_empty() { rjenkins(name) } else { rjenkins(&[namespace, &[SEPARATOR], name].concat()) }
}

/// Bob Jenkins' hash of 1997, as in Ceph's `ceph_hash.cc`.
fn rjenkins(key: &[u8]) -> u32 {
    let (mut a, mut b, mut c) = (0x9e37_79b9_u32, 0x9e37_79b9_u32, 0_u32);
    let mut blocks = key.chunks_exact(12);
    for block in &mut blocks {
        a = a.wrapping_add(word(&block[0..4]));
        b = b.wrapping_add(word(&block[4..8]));
        c = c.wrapping_add(word(&block[8..12]));
        mix(&mut a, &mut b, &mut c);
    }
    // The lowest byte of c is the length's.
    let mut rest = [0; 12];
    rest[..blocks.remainder().len()].copy_from_slice(blocks.remainder());
    a = a.wrapping_add(word(&rest[0..4]));
    b = b.wrapping_add(word(&rest[4..8]));
    c = c.wrapping_add(key.len() as u32).wrapping_add(word(&rest[8..12]) << 8);
    mix(&mut a, &mut b, &mut c);
    c
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    for (right_a, left_b, right_c) in [(13, 8, 13), (12, 16, 5), (3, 10, 15)] {
        *a = a.wrapping_sub(*b).wrapping_sub(*c) ^ (*c >> right_a);
        *b = b.wrapping_sub(*c).wrapping_sub(*a) ^ (*a << left_b);
        *c = c.wrapping_sub(*a).wrapping_sub(*b) ^ (*b >> right_c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a client of Ceph 16.2.15 sent it to a real OSD.
    #[test]
    fn the_hash_is_cephs() {
        assert_eq!(object_hash(b"", b"obj1"), 0x6cf8_deff);
    }

    #[test]
    fn a_namespace_changes_the_hash() {
        assert_ne!(object_hash(b"a", b"obj1"), object_hash(b"", b"obj1"));
        assert_eq!(object_hash(b"a", b"obj1"), object_hash(b"", b"a\x1fobj1"));
    }
}
