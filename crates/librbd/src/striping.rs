//! Where the bytes of an image are: a pure mapping between the image and its data objects.

use crate::error::{Error, Result};

/// Smallest object size: 2^12 bytes.
pub const ORDER_MIN: u32 = 12;
/// Largest object size: 2^25 bytes.
pub const ORDER_MAX: u32 = 25;
/// Object size 2^22 bytes = 4 MiB.
pub const ORDER_DEFAULT: u32 = 22;

/// Objects of one image, as in the largest object map of Ceph (facts 1.3): operations walk all of them.
pub const IMAGE_OBJECTS_MAX: u64 = 256_000_000;

/// Objects of one batch, unless a stripe goes over more.
const BATCH_OBJECTS: u64 = 1024;

/// The image is cut into stripe units that go round `stripe_count` objects; when those are full, the next set of objects
/// begins. Without striping the unit is the object and the count is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    object_size: u64,
    stripe_unit: u64,
    stripe_count: u64,
}

/// A piece of one object and the pieces of the image that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectExtent {
    /// Which object.
    pub object_no: u64,
    /// Bytes from the object's start.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// The same bytes in the image, in the order in which they stand in the object.
    pub image: Vec<Extent>,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

impl Extent {
    /// The first byte after it.
    pub const fn end(&self) -> u64 {
        self.offset + self.length
    }
}

impl Layout {
    /// EINVAL names the rule that is broken. Unit and count both 0 = no striping.
    pub fn new(order: u32, stripe_unit: u64, stripe_count: u64) -> Result<Self> {
        if !(ORDER_MIN..=ORDER_MAX).contains(&order) {
            return Err(Error::invalid(format!("order {order} must be between {ORDER_MIN} and {ORDER_MAX}")));
        }
        let object_size = 1 << order;
        if (stripe_unit, stripe_count) == (0, 0) {
            return Ok(Self { object_size, stripe_unit: object_size, stripe_count: 1 });
        }
        if stripe_unit == 0 || stripe_count == 0 {
            return Err(Error::invalid(format!(
                "stripe unit {stripe_unit} and stripe count {stripe_count} must be given together, both above 0"
            )));
        }
        if !object_size.is_multiple_of(stripe_unit) {
            return Err(Error::invalid(format!(
                "stripe unit {stripe_unit} must divide the object size {object_size}"
            )));
        }
        if stripe_count > 1 << 20 {
            return Err(Error::invalid(format!("stripe count {stripe_count} must not be above {}", 1 << 20)));
        }
        Ok(Self { object_size, stripe_unit, stripe_count })
    }

    /// EINVAL if an image of `size` bytes has more than [`IMAGE_OBJECTS_MAX`] objects.
    pub fn check_image_size(&self, size: u64) -> Result<()> {
        // Of the bytes, not of the objects' number, which for the largest sizes is beyond its type.
        let largest = IMAGE_OBJECTS_MAX * self.object_size;
        if size <= largest && self.object_count(size) <= IMAGE_OBJECTS_MAX {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "size {size}: an image has at most {IMAGE_OBJECTS_MAX} objects, of {} bytes in this one",
            self.object_size
        )))
    }

    /// Bytes.
    pub const fn object_size(&self) -> u64 {
        self.object_size
    }

    /// Bytes; the object size without striping.
    pub const fn stripe_unit(&self) -> u64 {
        self.stripe_unit
    }

    /// Objects; 1 without striping.
    pub const fn stripe_count(&self) -> u64 {
        self.stripe_count
    }

    const fn stripe_bytes(&self) -> u64 {
        self.stripe_unit * self.stripe_count
    }

    /// Bytes of a set of objects that is filled before the next one begins.
    const fn set_bytes(&self) -> u64 {
        self.object_size * self.stripe_count
    }

    /// The objects that hold an extent of the image, by object number; neighbouring units of an object are one piece.
    pub fn objects(&self, extent: Extent) -> Vec<ObjectExtent> {
        let mut pieces = std::collections::BTreeMap::<u64, ObjectExtent>::new();
        let mut offset = extent.offset;
        while offset < extent.end() {
            let (object_no, object_offset, contiguous) = self.locate(offset);
            let length = contiguous.min(extent.end() - offset);
            let piece = pieces.entry(object_no).or_insert_with(|| ObjectExtent {
                object_no,
                offset: object_offset,
                length: 0,
                image: Vec::new(),
            });
            debug_assert_eq!(
                piece.offset + piece.length,
                object_offset,
                "an extent's part of an object has no gap"
            );
            piece.length += length;
            push_merged(&mut piece.image, Extent { offset, length });
            offset += length;
        }
        pieces.into_values().collect()
    }

    /// Cuts an extent into batches of whole sets of objects, each small enough to be mapped in memory: an extent may have
    /// more objects than that.
    pub fn batches(&self, extent: Extent) -> impl Iterator<Item = Extent> + use<> {
        let sets = (BATCH_OBJECTS / self.stripe_count).max(1);
        let batch_bytes = sets.saturating_mul(self.set_bytes());
        let mut at = extent.offset;
        std::iter::from_fn(move || {
            let rest = extent.end().checked_sub(at).filter(|rest| *rest > 0)?;
            let batch = Extent { offset: at, length: rest.min(batch_bytes - at % batch_bytes) };
            at = batch.end();
            Some(batch)
        })
    }

    /// Object number, offset in it, and how many bytes from there on stand together in both.
    fn locate(&self, offset: u64) -> (u64, u64, u64) {
        let unit_no = offset / self.contiguous_bytes();
        if self.stripe_count == 1 {
            let in_object = offset % self.object_size;
            return (unit_no, in_object, self.object_size - in_object);
        }
        let in_unit = offset % self.stripe_unit;
        let (stripe_no, position) = (unit_no / self.stripe_count, unit_no % self.stripe_count);
        let stripes_per_set = self.object_size / self.stripe_unit;
        let object_no = stripe_no / stripes_per_set * self.stripe_count + position;
        let object_offset = stripe_no % stripes_per_set * self.stripe_unit + in_unit;
        (object_no, object_offset, self.stripe_unit - in_unit)
    }

    /// With one object per stripe the units of an object are neighbours in the image too.
    const fn contiguous_bytes(&self) -> u64 {
        if self.stripe_count == 1 { self.object_size } else { self.stripe_unit }
    }

    /// Where bytes [offset, offset + length) of an object stand in the image, in the object's order.
    pub fn image_extents(&self, object_no: u64, offset: u64, length: u64) -> Vec<Extent> {
        debug_assert!(offset + length <= self.object_size, "an extent of an object ends within it");
        let unit = self.contiguous_bytes();
        let set_start = object_no / self.stripe_count * self.set_bytes();
        let in_stripe = object_no % self.stripe_count * self.stripe_unit;
        let (mut extents, mut at) = (Vec::new(), offset);
        while at < offset + length {
            let (row, in_unit) = (at / unit, at % unit);
            let piece = (unit - in_unit).min(offset + length - at);
            let stripe_bytes = if self.stripe_count == 1 { unit } else { self.stripe_bytes() };
            let start = set_start + row * stripe_bytes + in_stripe + in_unit;
            push_merged(&mut extents, Extent { offset: start, length: piece });
            at += piece;
        }
        extents
    }

    /// How many objects bytes [0, size) of the image touch: they are numbers 0 up to it.
    pub fn object_count(&self, size: u64) -> u64 {
        let (sets, rest) = (size / self.set_bytes(), size % self.set_bytes());
        sets * self.stripe_count + rest.div_ceil(self.contiguous_bytes()).min(self.stripe_count)
    }

    /// How many bytes of an object belong to bytes [0, size) of the image: always its first ones.
    pub fn object_bytes(&self, object_no: u64, size: u64) -> u64 {
        let rest =
            size.saturating_sub(object_no / self.stripe_count * self.set_bytes()).min(self.set_bytes());
        if self.stripe_count == 1 {
            return rest;
        }
        let (full, partial) = (rest / self.stripe_bytes(), rest % self.stripe_bytes());
        let before = object_no % self.stripe_count * self.stripe_unit;
        full * self.stripe_unit + partial.saturating_sub(before).min(self.stripe_unit)
    }
}

fn push_merged(extents: &mut Vec<Extent>, next: Extent) {
    match extents.last_mut() {
        Some(last) if last.end() == next.offset => last.length += next.length,
        _ => extents.push(next),
    }
}
