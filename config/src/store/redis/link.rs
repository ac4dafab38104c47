//! Connections to Redis: to the server, or to the one that the sentinels call the master. Every wait has an end.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _,
    ProtocolVersion, RedisConnectionInfo, RedisError, TlsCertificates,
};

use crate::secret::Secret;
use crate::settings::RedisAddress;
use crate::store::StoreError;

/// How long a command may take.
pub(super) const COMMAND: Duration = Duration::from_secs(2);

/// Why there is no answer, or not the one that was hoped for.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Whether Redis answered, with an error: then nothing was done. Otherwise the command may have been executed.
    pub(super) answered: bool,
    /// Whether another server, or another login, would have to be asked.
    pub(super) elsewhere: bool,
    /// For people.
    pub(super) message: String,
}

impl Failure {
    /// No answer.
    pub(super) fn silent(message: impl Into<String>) -> Self {
        Self { answered: false, elsewhere: false, message: message.into() }
    }

    /// An answer that cannot be used.
    pub(super) fn told(message: impl Into<String>) -> Self {
        Self { answered: true, elsewhere: false, message: message.into() }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let answered = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        let elsewhere = matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "LOADING"));
        Self { answered, elsewhere, message: error.to_string() }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.message)
    }
}

/// Waits for an answer, but not longer than `limit`.
pub(super) async fn bounded<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::silent(format!("Redis has not answered for {} s", limit.as_secs_f32()))),
    }
}

/// How long a command with this many bytes may take: on a slow line, they need their time.
pub(super) fn limit_for(bytes: usize) -> Duration {
    COMMAND + Duration::from_micros(bytes as u64 / 5)
}

/// Where to connect to.
#[derive(Clone)]
pub(super) struct Link {
    address: RedisAddress,
    /// The certificates that vouch for the servers; none for the system's.
    ca: Option<Vec<u8>>,
}

impl Link {
    /// Reads the certificates, if there are any to read.
    pub(super) fn new(address: RedisAddress) -> Result<Self, StoreError> {
        let read = |file: &std::path::PathBuf| {
            std::fs::read(file).map_err(|error| {
                StoreError::Unavailable(format!(
                    "the certificates in {} cannot be read: {error}",
                    file.display()
                ))
            })
        };
        let ca = address.ca.as_ref().map(read).transpose()?;
        Ok(Self { address, ca })
    }

    /// A new connection to the server that takes writes.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Failure> {
        let Some(master) = &self.address.master else {
            let (host, port) = &self.address.hosts[0];
            return self.server(host, *port).await;
        };
        let mut why = Vec::new();
        for (host, port) in &self.address.hosts {
            match self.ask_sentinel(host, *port, master).await {
                Ok((host, port)) => match self.master(&host, port).await {
                    Ok(connection) => return Ok(connection),
                    Err(failure) => why.push(format!("the master {host}:{port}: {}", failure.message)),
                },
                Err(failure) => why.push(format!("the sentinel {host}:{port}: {}", failure.message)),
            }
        }
        Err(Failure::silent(why.join("; ")))
    }

    async fn server(&self, host: &str, port: u16) -> Result<MultiplexedConnection, Failure> {
        let login = (self.address.user.as_deref(), self.address.password.as_ref());
        self.dial(host, port, login, i64::from(self.address.db)).await
    }

    /// What a sentinel takes for the master may have been demoted a moment ago.
    async fn master(&self, host: &str, port: u16) -> Result<MultiplexedConnection, Failure> {
        let mut connection = self.server(host, port).await?;
        let role: Vec<redis::Value> =
            bounded(COMMAND, redis::cmd("ROLE").query_async(&mut connection)).await?;
        let role: Option<String> =
            role.into_iter().next().and_then(|role| redis::from_redis_value(role).ok());
        match role.as_deref() {
            Some("master") => Ok(connection),
            _ => Err(Failure::silent("it is no master")),
        }
    }

    async fn ask_sentinel(&self, host: &str, port: u16, master: &str) -> Result<(String, u16), Failure> {
        let (user, password) = &self.address.sentinel_login;
        let mut connection = self.dial(host, port, (user.as_deref(), password.as_ref()), 0).await?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let found: Option<(String, u16)> = bounded(COMMAND, ask.query_async(&mut connection)).await?;
        found.ok_or_else(|| Failure::silent("it knows no master of this name"))
    }

    async fn dial(
        &self,
        host: &str,
        port: u16,
        (user, password): (Option<&str>, Option<&Secret>),
        db: i64,
    ) -> Result<MultiplexedConnection, Failure> {
        let host = host.to_owned();
        let address = if self.address.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut login = RedisConnectionInfo::default().set_db(db).set_protocol(ProtocolVersion::RESP3);
        if let Some(user) = user {
            login = login.set_username(user);
        }
        if let Some(password) = password {
            login = login.set_password(password.reveal());
        }
        let info: ConnectionInfo = address.into_connection_info()?.set_redis_settings(login);
        let client = match (&self.ca, self.address.tls) {
            (Some(ca), true) => Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: Some(ca.clone()) },
            )?,
            _ => Client::open(info)?,
        };
        // Each command has its own limit, as one that waits for news takes longer than others.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(COMMAND)).set_response_timeout(None);
        bounded(COMMAND, client.get_multiplexed_async_connection_with_config(&config)).await
    }
}
