#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| countersign_wire::postgres::fuzz_targets::fuzz_values(data));
