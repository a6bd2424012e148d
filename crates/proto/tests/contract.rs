//! The gRPC contract may grow and never shrinks: peers in other languages are built against it.
//!
//! `contract.txt` holds one line for each field, value and method that was ever promised. What was added since is
//! appended by `BLESS=1 cargo test -p proto --test contract`.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

/// Nothing that was promised is removed or changed: no field, number, type or method.
#[test]
fn the_contract_only_grows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract.txt");
    let offered = offered();
    if std::env::var_os("BLESS").is_some() {
        let promised = std::fs::read_to_string(&path).unwrap_or_default();
        let all: BTreeSet<_> = promised.lines().map(str::to_owned).chain(offered.iter().cloned()).collect();
        std::fs::write(&path, all.into_iter().map(|line| line + "\n").collect::<String>()).unwrap();
    }
    let promised = std::fs::read_to_string(&path).unwrap();
    let broken: Vec<_> = promised.lines().filter(|&line| !offered.contains(line)).collect();
    assert!(broken.is_empty(), "promised and gone:\n{}", broken.join("\n"));
    let promised: BTreeSet<_> = promised.lines().collect();
    let new: Vec<_> = offered.iter().filter(|line| !promised.contains(line.as_str())).cloned().collect();
    assert!(new.is_empty(), "not promised yet, BLESS=1 appends it:\n{}", new.join("\n"));
}

/// A line for everything that the descriptor set offers.
fn offered() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("the descriptors decode");
    let mut lines = BTreeSet::new();
    for file in set.file.iter().filter(|file| !file.package().starts_with("google.")) {
        file.message_type.iter().for_each(|message| of_message(file.package(), message, &mut lines));
        file.enum_type.iter().for_each(|values| of_enum(file.package(), values, &mut lines));
        file.service.iter().for_each(|service| of_service(file.package(), service, &mut lines));
    }
    lines
}

fn of_message(scope: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let scope = format!("{scope}.{}", message.name());
    lines.insert(format!("message {scope}"));
    for field in &message.field {
        let kind = field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase();
        let of = field.type_name().trim_start_matches('.');
        let label = field.label().as_str_name().trim_start_matches("LABEL_").to_lowercase();
        let oneof = field.oneof_index.map(|index| message.oneof_decl[index as usize].name());
        let oneof = oneof.map(|name| format!(" in {name}")).unwrap_or_default();
        let (name, number) = (field.name(), field.number());
        lines.insert(format!("field {scope}.{name} = {number} {label} {kind} {of}{oneof}"));
    }
    message.nested_type.iter().for_each(|nested| of_message(&scope, nested, lines));
    message.enum_type.iter().for_each(|values| of_enum(&scope, values, lines));
}

fn of_enum(scope: &str, values: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    for value in &values.value {
        lines.insert(format!("value {scope}.{}.{} = {}", values.name(), value.name(), value.number()));
    }
}

fn of_service(scope: &str, service: &ServiceDescriptorProto, lines: &mut BTreeSet<String>) {
    for method in &service.method {
        let stream = |is_stream| if is_stream { "stream " } else { "" };
        lines.insert(format!(
            "method {scope}.{}/{} ({}{}) returns ({}{})",
            service.name(),
            method.name(),
            stream(method.client_streaming()),
            method.input_type(),
            stream(method.server_streaming()),
            method.output_type(),
        ));
    }
}
