#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| skyvis::proxy::files::fuzz::run(data));
