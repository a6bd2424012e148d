//! How client instances are named: "client.4107".

/// The gid in "client.4107" or "4107". The error names the text and the rule.
pub(crate) fn gid(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix("client.").unwrap_or(text);
    number
        .parse()
        .ok()
        .filter(|&gid| gid != 0)
        .ok_or_else(|| format!("'{text}' is not a client: expected client.GID, e.g. client.4107"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_with_or_without_prefix() {
        assert_eq!(gid("client.4107"), Ok(4107));
        assert_eq!(gid("4107"), Ok(4107));
        for text in ["", "client.", "client.x", "-1", "osd.1", "0", "client.0"] {
            assert!(gid(text).is_err_and(|error| error.contains(&format!("'{text}'"))), "{text}");
        }
    }
}
