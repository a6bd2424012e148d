//! Fences by address.

use ceph_wire::EntityAddr;
use errno::Errno;
use serde_json::json;

use super::{Answer, Call, Format, Outcome};
use crate::cluster::{Cluster, Refusal};
use crate::json as render;
use crate::time::shown;

/// How long a fence may last: maps count 32 bits of seconds since 1970.
const FENCE_SECONDS_MAX: f64 = 1e9;

/// The entries. In JSON a second list follows, of ranges: it is always empty.
pub(super) fn ls<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let fences = call.cluster.fences();
    let status = format!("listed {} entries", fences.len());
    if call.request.format == Format::Plain {
        let line = |fence: &crate::Fence| format!("{} {}\n", fence.address, shown(fence.until_unix_ms));
        let text: String = fences.iter().map(line).collect();
        return Ok(Answer::raw(text).with_status(status));
    }
    let entry = |fence: &crate::Fence| json!({ "addr": fence.address.to_string(), "until": shown(fence.until_unix_ms) });
    let list = render::compact(&fences.iter().map(entry).collect());
    Ok(Answer::raw([list.as_ref(), b"[]"].concat()).with_status(status))
}

pub(super) fn clear<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    for fence in call.cluster.fences() {
        call.cluster.unfence(&fence.address);
    }
    Ok(Answer::done(" removed all blocklist entries"))
}

/// Adds or removes an entry; older clients spell it differently.
pub(super) fn change<C: Cluster>(call: &mut Call<'_, C>) -> Outcome {
    let request = &call.request;
    let op = request.text("blocklistop").or_else(|| request.text("blacklistop"));
    let text = request.needed("addr")?;
    let wrong = |_| Refusal::new(Errno::EINVAL, format!("unable to parse address {text}"));
    let address: EntityAddr = text.parse().map_err(wrong)?;
    match op.as_deref() {
        Some("add") => {
            let seconds = request.number("expire")?.filter(|&seconds| seconds > 0.0);
            let for_ms = seconds.map(|seconds| (seconds.min(FENCE_SECONDS_MAX) * 1000.0) as u64);
            let fence = call.cluster.fence(&address, for_ms)?;
            let span = fence.until_unix_ms.saturating_sub(call.now_unix_ms).div_ceil(1000);
            let until = shown(fence.until_unix_ms);
            Ok(Answer::done(format!("blocklisting {address} until {until} ({span} sec)")))
        }
        Some("rm") if call.cluster.unfence(&address) => {
            Ok(Answer::done(format!("un-blocklisting {address}")))
        }
        Some("rm") => Ok(Answer::done(format!("{address} isn't blocklisted"))),
        other => {
            let text = format!("'{}' is neither add nor rm", other.unwrap_or_default());
            Err(Refusal::new(Errno::EINVAL, text))
        }
    }
}
