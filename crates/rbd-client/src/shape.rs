//! How an image is laid out: the options that create, clone and import share.

use clap::Args;
use librbd::Features;

use crate::{failure::Failure, size};
use errno::Errno;

/// Layout and features of an image to be made. What is not given is librbd's default, or the parent's for a clone.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Shape {
    /// Size of the image's objects, a power of two from 4K to 32M; without it 4M, for a clone the parent's
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = size::order_of_object_size, conflicts_with = "order")]
    object_size: Option<u32>,

    /// The same as log2: 12 (4 KiB) to 25 (32 MiB)
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = size::order)]
    order: Option<u32>,

    /// Format of the image: 2, the only one that is made
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    image_format: Option<u8>,

    /// Features: layering, striping, exclusive-lock, deep-flatten; repeat it or separate with commas
    #[arg(long = "image-feature", value_name = "FEATURE", value_delimiter = ',', value_parser = feature)]
    image_features: Vec<Features>,

    /// Bytes that go to one object before the next is used; needs --stripe-count
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, value_parser = size::bytes, requires = "stripe_count")]
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

    /// The features, when some were given. EINVAL for format 1, which has none.
    pub(crate) fn features(&self) -> Result<Option<Features>, Failure> {
        if self.image_format == Some(1) {
            return Err(Failure::new(
                Errno::EINVAL,
                "--image-format 1: images of format 2 are made, no others",
            ));
        }
        let given = self.image_features.iter();
        Ok(given.copied().reduce(Features::union))
    }
}

/// The error names the text and what there is.
fn feature(text: &str) -> Result<Features, String> {
    text.parse().map_err(|error: librbd::Error| error.to_string())
}
