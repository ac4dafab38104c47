//! A line between a node and Redis that can be made to fail in the ways that matter.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::settings::StoreUrl;

/// What happens to the connections that are open when it is said. Those that are made later are not touched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Bytes go both ways.
    Passes,
    /// What Redis answers gets lost, and the connection with it.
    LosesAnswers,
    /// What Redis answers does not arrive.
    IsMute,
}

pub(crate) struct Proxy {
    port: u16,
    line: Arc<watch::Sender<(usize, Line)>>,
    opened: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let line = Arc::new(watch::Sender::new((0, Line::Passes)));
        let (count, opened) = watch::channel(0);
        let mut tasks = JoinSet::new();
        let lines = line.clone();
        tasks.spawn(async move {
            let mut pairs = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = *count.borrow();
                count.send_replace(number + 1);
                pairs.spawn(pass(client, port, number, lines.subscribe()));
            }
        });
        Self { port: own, line, opened, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> StoreUrl {
        format!("redis://127.0.0.1:{}", self.port).parse().expect("a URL")
    }

    pub(crate) fn now(&self, line: Line) {
        self.line.send_replace((*self.opened.borrow(), line));
    }
}

async fn pass(client: TcpStream, port: u16, number: usize, line: watch::Receiver<(usize, Line)>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = tokio::io::copy(&mut from_client, &mut to_server);
    let back = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            let (before, now) = *line.borrow();
            match if number < before { now } else { Line::Passes } {
                Line::Passes => to_client.write_all(&buffer[..length]).await.unwrap_or_default(),
                Line::LosesAnswers => break,
                Line::IsMute => {}
            }
        }
    };
    tokio::select! { _ = there => {}, () = back => {} }
}
