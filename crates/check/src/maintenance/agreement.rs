use std::collections::{BTreeMap, BTreeSet};

use crate::image::{FinalState, SnapshotName};
use crate::violation::{Rule, Violation};

/// Every image that has a parent is in the list of children of that parent's snapshot, once; and nobody else is in it.
pub fn parents_and_children_agree(state: &FinalState) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut listed: BTreeMap<SnapshotName, BTreeSet<&str>> = BTreeMap::new();
    for (image, parent) in &state.images {
        for snapshot in &parent.snapshots {
            let name = SnapshotName { image: image.clone(), snap: snapshot.name.clone() };
            let children = listed.entry(name.clone()).or_default();
            for child in &snapshot.children {
                if !children.insert(child) {
                    found.push(disagreement(child, format!("it is listed twice by {name}")));
                } else if parent_of(state, child).as_ref() != Some(&name) {
                    found.push(disagreement(
                        child,
                        format!("{name} lists it, but it has another parent or none"),
                    ));
                }
            }
        }
    }
    for image in state.images.keys() {
        let Some(name) = parent_of(state, image) else { continue };
        match listed.get(&name) {
            None => found.push(disagreement(image, format!("its parent {name} does not exist"))),
            Some(children) if !children.contains(image.as_str()) => {
                found.push(disagreement(image, format!("its parent {name} does not list it")));
            }
            Some(_) => {}
        }
    }
    found
}

fn parent_of(state: &FinalState, image: &str) -> Option<SnapshotName> {
    let parent = state.images.get(image)?.parent.as_ref()?;
    Some(SnapshotName { image: parent.image.clone(), snap: parent.snap.clone() })
}

fn disagreement(image: &str, what: String) -> Violation {
    Violation::new(Rule::ParentChild, format!("image {image}"), [], what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{FinalImage, FinalParent, FinalSnapshot};

    fn family(children: &[&str], parent: Option<&str>) -> FinalState {
        let snapshots = vec![FinalSnapshot {
            name: "s".into(),
            children: children.iter().map(ToString::to_string).collect(),
            ..FinalSnapshot::default()
        }];
        let parent = parent.map(|snap| FinalParent { image: "p".into(), snap: snap.into(), head: true });
        let images = [
            ("p".to_owned(), FinalImage { snapshots, ..FinalImage::default() }),
            ("c".to_owned(), FinalImage { parent, ..FinalImage::default() }),
        ];
        FinalState { images: images.into() }
    }

    fn judged(children: &[&str], parent: Option<&str>) -> Vec<String> {
        let found = parents_and_children_agree(&family(children, parent));
        found.into_iter().map(|violation| violation.to_string()).collect()
    }

    #[test]
    fn a_family_that_agrees_is_fine() {
        assert!(judged(&["c"], Some("s")).is_empty());
        assert!(judged(&[], None).is_empty());
    }

    #[test]
    fn a_child_that_its_parent_does_not_list_is_found() {
        assert_eq!(judged(&[], Some("s")), ["parent-child: image c: its parent p@s does not list it"]);
    }

    #[test]
    fn a_parent_that_does_not_exist_is_found() {
        assert_eq!(judged(&[], Some("t")), ["parent-child: image c: its parent p@t does not exist"]);
    }

    #[test]
    fn a_listed_child_that_was_flattened_or_removed_is_found() {
        let other = "p@s lists it, but it has another parent or none";
        assert_eq!(judged(&["c"], None), [format!("parent-child: image c: {other}")]);
        assert_eq!(judged(&["x"], None), [format!("parent-child: image x: {other}")]);
    }

    #[test]
    fn a_child_that_is_listed_twice_is_found() {
        assert_eq!(judged(&["c", "c"], Some("s")), ["parent-child: image c: it is listed twice by p@s"]);
    }
}
