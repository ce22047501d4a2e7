//! Where the nodes of a new cluster send traces. Not here: the section of the configuration (`template.rs`), what is sent
//! (`crate::trace`).

/// Traces that nodes send.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    /// The collector: a URL without anything that TOML would want quoted.
    pub(super) endpoint: String,
    /// From 0 to 1.
    pub(super) sample_ratio: f64,
}

/// A collector in plain HTTP. With `https` it takes an authority too, which is said in the configuration.
pub(super) fn collector(text: &str) -> Result<String, String> {
    // The configuration quotes it.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let uri = text.parse::<http::Uri>().ok();
    let is_http = uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    if is_http && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("write http://HOST:PORT; a collector with https is named in [tracing] of stator.toml".to_owned())
}

/// A share, from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=1.0).contains(&ratio) {
        return Ok(ratio);
    }
    Err("must be from 0 to 1".to_owned())
}
