//! Paths of content-addressed files, without the digest in them: content that differs is shown where it stands.

use crate::bundle::manifest::STORE;

/// Returns the text with each digest in a path of the store replaced by `…`.
pub fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(STORE) {
        let (before, path) = rest.split_at(at + STORE.len());
        out.push_str(before);
        rest = path;
        if let Some((digest, _)) = path.strip_prefix('/').and_then(|path| path.split_once('-'))
            && digest.len() >= 20
            && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            out.push_str("/…");
            rest = &path[1 + digest.len()..];
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_taken_out() {
        assert_eq!(
            mask("vllm --config /etc/citadel/store/e7dc7cb6cfffa0e0b4c3-a.yaml x /etc/citadel/store/short-b"),
            "vllm --config /etc/citadel/store/…-a.yaml x /etc/citadel/store/short-b"
        );
    }
}
