//! How an image is laid out: the options that create, clone and import share.

use clap::Args;
use librbd::Features;

use crate::{failure::Failure, size};
use errno::Errno;

/// Layout and features of an image to be made. What is not given is librbd's default, or the parent's for a clone.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Shape {
    /// Size of the image's objects, a power of two from 4K to 32M; without it 4M, for a clone the parent's
    #[arg(long, value_name = "SIZE", value_parser = size::order_of_object_size, conflicts_with = "order")]
    object_size: Option<u32>,

    /// The same as log2: 12 (4 KiB) to 25 (32 MiB)
    #[arg(long, value_name = "N", value_parser = size::order)]
    order: Option<u32>,

    /// Features: layering, striping, exclusive-lock, deep-flatten; repeat it or separate with commas
    #[arg(long = "image-feature", value_name = "FEATURE", value_delimiter = ',')]
    image_features: Vec<String>,

    /// Bytes that go to one object before the next is used; needs --stripe-count
    #[arg(long, value_name = "SIZE", value_parser = size::bytes, requires = "stripe_count")]
    pub(crate) stripe_unit: Option<u64>,

    /// Objects that a stripe goes over; needs --stripe-unit
    #[arg(long, value_name = "N", requires = "stripe_unit")]
    pub(crate) stripe_count: Option<u64>,
}

impl Shape {
    /// log2 of the object size, by either option.
    pub(crate) fn order(&self) -> Option<u32> {
        self.object_size.or(self.order)
    }

    /// The features, when some were given. EINVAL names an unknown one.
    pub(crate) fn features(&self) -> Result<Option<Features>, Failure> {
        if self.image_features.is_empty() {
            return Ok(None);
        }
        let names = self.image_features.join(",");
        match names.parse() {
            Ok(features) => Ok(Some(features)),
            Err(error) => Err(Failure::new(Errno::EINVAL, format!("--image-feature {names}: {error}"))),
        }
    }
}
