//! What a fuzzer holds of a TLS client's first message: it is read the same however it comes, and a name is a name.

use super::{Hello, hello};

/// One input: what a client sends.
pub fn run(data: &[u8]) {
    let whole = hello::read(data);
    if let Hello::Name(name) = &whole {
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()));
    }
    // What was once decided stays decided.
    for n in 0..data.len().min(256) {
        let begin = hello::read(&data[..n]);
        assert!(begin == Hello::More || begin == whole || data.len() > 2 * hello::HELLO_BYTES_MAX);
    }
}
