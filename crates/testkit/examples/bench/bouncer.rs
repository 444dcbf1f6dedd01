//! pgbouncer in session mode: what people put in front of PostgreSQL today, and the yardstick for a hop that
//! understands the protocol.

use std::path::Path;

use anyhow::Result;

use crate::server::{ACCOUNT, PASSWORD, Server};
use crate::stats::Process;
use countersign_testkit::leash::{self, Dog, Leash, free_port};

/// A running pgbouncer.
pub struct Bouncer {
    /// Where it listens.
    pub port: u16,
    leash: Leash,
}

impl Bouncer {
    /// Starts one in front of the server; nothing where none is installed.
    pub fn start(server: &Server) -> Result<Option<Self>> {
        let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
        let Some(program) = places.into_iter().find(|place| Path::new(place).exists()) else {
            return Ok(None);
        };
        let port = free_port()?;
        let folder = leash::folder("bench-pgbouncer")?;
        let (settings, users) = (folder.join("pgbouncer.ini"), folder.join("users.txt"));
        std::fs::write(&users, format!("\"{ACCOUNT}\" \"{PASSWORD}\"\n"))?;
        let text = format!(
            "[databases]\n\
             postgres = host=127.0.0.1 port={} dbname=postgres user={ACCOUNT} password={PASSWORD}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\n\
             pool_mode = session\ndefault_pool_size = 2100\nmax_client_conn = 2200\n\
             ignore_startup_parameters = extra_float_digits\n\
             server_tls_sslmode = disable\nclient_tls_sslmode = allow\n\
             client_tls_cert_file = {}\nclient_tls_key_file = {}\n\
             log_connections = 0\nlog_disconnections = 0\n",
            server.port,
            users.display(),
            server.certificate.0.display(),
            server.certificate.1.display(),
        );
        std::fs::write(&settings, text)?;
        let program = vec![program.to_owned(), settings.display().to_string()];
        let log = std::env::temp_dir().join(format!("countersign-bench-pgbouncer-{port}.log"));
        let dog =
            Dog { program, unprivileged: true, signal: "TERM", folder: Some(&folder), log: &log, env: &[] };
        let leash = Leash::start(&dog)?;
        leash.listens(port, &log)?;
        std::fs::remove_file(&log)?;
        Ok(Some(Self { port, leash }))
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.leash.pid())
    }
}
