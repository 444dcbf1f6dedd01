#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| countersign_wire::mcp::fuzz_targets::fuzz_mcp_server(data));
