use std::net::SocketAddr;

/// The configuration of a client: what `CEPH_CONF` names.
pub(super) fn client_conf(fsid: &str, monitor: SocketAddr) -> String {
    format!(
        "\
[global]
fsid = {fsid}
mon_host = v2:{monitor}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
[client]
admin_socket =
log_file =
keyring = /dev/null
"
    )
}
