//! What only the host can do to a container. `scripts/compose-demo` reads these lines and does it; that it has happened shows in
//! the OSD's event log and in what the clients answer, never here.

/// Clients on `image`, in fresh containers. Without `fences` they break the lock of a dead owner and do not fence it first.
pub(crate) fn start_clients(image: &str, fences: bool) {
    println!("@up {image} {fences}");
}

/// SIGTERM to all clients that run.
pub(crate) fn stop_clients() {
    println!("@stop");
}

/// SIGKILL to a container.
pub(crate) fn kill(service: &str) {
    println!("@kill {service}");
}

/// No packet reaches a container or leaves it any more. Its connections do not notice.
pub(crate) fn cut(service: &str) {
    println!("@cut {service}");
}

/// Ends what [`cut`] did. The container may get another address.
pub(crate) fn join(service: &str) {
    println!("@join {service}");
}
