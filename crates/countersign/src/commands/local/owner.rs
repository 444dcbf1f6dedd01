//! Whose the program is at the other end of a connection on this machine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where the system lists the connections of this machine.
const TABLE: &str = "/proc/net/tcp";

/// Whether whoever connects from `from` to `to` runs as the same user. Where the system does not say, it is somebody else.
pub(super) fn is_ours(from: SocketAddr, to: SocketAddr) -> bool {
    let table = fs::read_to_string(TABLE).unwrap_or_default();
    owner(&table, from, to) == Some(nix::unistd::geteuid().as_raw())
}

/// Whose the socket is whose own end is `from` and whose other end is `to`.
fn owner(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut parts = line.split_ascii_whitespace();
        let (own, other) = (address(parts.nth(1)?)?, address(parts.next()?)?);
        let owner = parts.nth(4)?;
        (own == from && other == to).then(|| owner.parse().ok()).flatten()
    })
}

/// `0100007F:1538`: the address as the machine keeps it, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let host = u32::from_str_radix(host, 16).ok()?;
    let host = Ipv4Addr::from(host.to_ne_bytes());
    Some(SocketAddr::V4(SocketAddrV4::new(host, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_whose_a_connection_is() {
        let host = u32::from_ne_bytes([127, 0, 0, 1]);
        let line = |own: u16, other: u16, uid: &str| {
            format!(
                "   1: {host:08X}:{own:04X} {host:08X}:{other:04X} 01 00000000:00000000 00:00000000 00000000  {uid}        0 4711 1\n"
            )
        };
        let table = format!(
            "  sl  local_address rem_address   st\n{}{}",
            line(40_000, 5_433, "1000"),
            line(5_433, 40_000, "0")
        );
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(owner(&table, at(40_000), at(5_433)), Some(1000), "the other end's owner, and not ours");
        assert_eq!(owner(&table, at(5_433), at(40_000)), Some(0));
        for (from, to) in [(at(40_001), at(5_433)), (at(40_000), at(5_434))] {
            assert_eq!(owner(&table, from, to), None);
        }
        for table in ["", "nonsense\nnonsense\n", "a\n 1: x:y z:w\n", "a\n1: 0100007F:0050\n"] {
            assert_eq!(owner(table, at(1), at(2)), None, "{table}");
        }
    }

    #[test]
    fn our_own_programs_are_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, from) = listener.accept().unwrap();
        assert!(is_ours(from, far.local_addr().unwrap()));
        assert!(!is_ours(from, near.local_addr().unwrap()));
    }
}
