#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| countersign_wire::sql::fuzz_targets::fuzz_sql(data));
