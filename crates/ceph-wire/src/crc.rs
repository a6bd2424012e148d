//! Ceph's checksum: the Castagnoli register as it stands, without the final inversion of the usual one.

/// The checksum of `bytes`, begun with `seed`.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// The seed of segments and maps.
pub const SEED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of an object map with five elements, and its checksum in a real pool.
    #[test]
    fn the_checksum_is_that_of_a_real_object_map() {
        let header = [1, 1, 8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(crc32c(0, &header), u32::from_le_bytes([0x18, 0x45, 0x96, 0x82]));
    }
}
