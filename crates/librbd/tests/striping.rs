//! The mapping between an image and its objects.

use librbd::{Extent, Layout};
use proptest::prelude::*;

fn layout() -> impl Strategy<Value = Layout> {
    let plain = (12_u32..=25).prop_map(|order| Layout::new(order, 0, 0));
    let striped = (12_u32..=16, 0_u32..=6, 1_u64..=7)
        .prop_map(|(order, shift, count)| Layout::new(order, 1 << (order - shift), count));
    prop_oneof![plain, striped].prop_map(|layout| layout.expect("the unit divides the object size"))
}

/// The definition, byte by byte: units go round the objects of a set.
fn locate(layout: Layout, byte: u64) -> (u64, u64) {
    let (unit, count) = (layout.stripe_unit(), layout.stripe_count());
    let (unit_no, in_unit) = (byte / unit, byte % unit);
    let (row, column) = (unit_no / count, unit_no % count);
    let rows = layout.object_size() / unit;
    (row / rows * count + column, row % rows * unit + in_unit)
}

proptest! {
    #[test]
    fn an_extent_leads_to_objects_and_back(layout in layout(), offset in 0_u64..1 << 40, length in 1_u64..1 << 20) {
        let mut image = Vec::new();
        for object in layout.objects(Extent { offset, length }) {
            prop_assert!(object.offset + object.length <= layout.object_size());
            prop_assert_eq!(object.image.iter().map(|extent| extent.length).sum::<u64>(), object.length);
            let back = layout.image_extents(object.object_no, object.offset, object.length);
            prop_assert_eq!(&back, &object.image);
            image.extend(back);
        }
        image.sort();
        let mut at = offset;
        for extent in image {
            prop_assert_eq!(extent.offset, at);
            at = extent.end();
        }
        prop_assert_eq!(at, offset + length);
    }

    #[test]
    fn batches_cover_an_extent_in_order(layout in layout(), offset in 0_u64..1 << 40, length in 0_u64..1 << 34) {
        let mut at = offset;
        for batch in layout.batches(Extent { offset, length }) {
            prop_assert_eq!(batch.offset, at);
            prop_assert!(batch.length > 0 && batch.length <= layout.object_size() * 1024);
            at = batch.end();
        }
        prop_assert_eq!(at, offset + length);
    }

    #[test]
    fn every_byte_is_where_the_definition_puts_it(layout in layout(), byte in 0_u64..1 << 40) {
        let objects = layout.objects(Extent { offset: byte, length: 1 });
        prop_assert_eq!(objects.len(), 1);
        prop_assert_eq!((objects[0].object_no, objects[0].offset), locate(layout, byte));
    }

    #[test]
    fn the_objects_of_a_size_are_those_that_hold_its_bytes(layout in layout(), size in 0_u64..1 << 22) {
        let objects = layout.objects(Extent { offset: 0, length: size });
        prop_assert_eq!(layout.object_count(size), objects.len() as u64);
        for (object_no, object) in objects.iter().enumerate() {
            prop_assert_eq!((object.object_no, object.offset), (object_no as u64, 0));
            prop_assert_eq!(layout.object_bytes(object.object_no, size), object.length);
        }
        prop_assert_eq!(layout.object_bytes(objects.len() as u64, size), 0);
    }
}

#[test]
fn units_go_round_the_objects_of_a_set() {
    let layout = Layout::new(12, 1024, 3).unwrap();
    let found: Vec<_> = layout
        .objects(Extent { offset: 1000, length: 3000 })
        .into_iter()
        .map(|object| (object.object_no, object.offset, object.length))
        .collect();
    assert_eq!(found, [(0, 1000, 24 + 928), (1, 0, 1024), (2, 0, 1024)]);
}

#[test]
fn a_layout_that_breaks_a_rule_is_refused_by_that_rule() {
    for (order, unit, count, rule) in [
        (11, 0, 0, "between 12 and 25"),
        (26, 0, 0, "between 12 and 25"),
        (12, 3000, 2, "divide the object size"),
        (12, 8192, 2, "divide the object size"),
        (12, 1024, 0, "given together"),
        (12, 0, 2, "given together"),
        (12, 1024, 1 << 21, "stripe count"),
    ] {
        let error = Layout::new(order, unit, count).unwrap_err();
        assert_eq!(error.errno(), errno::Errno::EINVAL);
        assert!(error.to_string().contains(rule), "{order} {unit} {count}: {error}");
    }
}
