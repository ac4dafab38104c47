//! An FTP server that does what a script says: for what real servers do too rarely to be waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sdk::task::Tasks;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;

/// What to do about a command.
pub(crate) enum Act {
    /// What every server does.
    Usual,
    /// Answer this.
    Say(&'static str),
    /// Answer nothing and close the connection.
    HangUp,
    /// Take this much of the file, answer this, and close the connection for the file.
    TakeThenSay(usize, &'static str),
    /// Take the file until it ends, and tell how: the number of bytes, or that the connection was reset.
    TakeAll(UnboundedSender<std::io::Result<usize>>),
    /// Send this as the file, and answer this.
    SendThenSay(&'static str, &'static str),
}

/// A script: from the number of the connection (0, 1, ...), the number of the command on it and its text, to an act.
pub(crate) type Script = dyn Fn(usize, usize, &str) -> Act + Send + Sync;

/// Starts one, answers the parameters of a connection to it. It ends with the test.
pub(crate) async fn start(script: impl Fn(usize, usize, &str) -> Act + Send + Sync + 'static) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (script, count): (Arc<Script>, _) = (Arc::new(script), AtomicUsize::new(0));
    let tasks = Tasks::default();
    tasks.clone().spawn("ftp-script", async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (script, number) = (script.clone(), count.fetch_add(1, Ordering::SeqCst));
            tasks.spawn("ftp-session", async move { drop(serve(socket, number, &*script).await) });
        }
    });
    json!({"host": "127.0.0.1", "port": port, "username": "api", "password": "s3cret-Word"})
}

async fn serve(socket: TcpStream, connection: usize, script: &Script) -> std::io::Result<()> {
    let mut control = BufReader::new(socket);
    control.write_all(b"220 ready\r\n").await?;
    let data = TcpListener::bind("127.0.0.1:0").await?;
    let mut number = 0;
    loop {
        let mut line = String::new();
        if control.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let act = script(connection, number, line);
        number += 1;
        let answer = match act {
            Act::Usual => usual(line, data.local_addr()?.port()),
            Act::Say(answer) => answer.to_owned(),
            Act::HangUp => return Ok(()),
            Act::TakeThenSay(bytes, answer) => {
                control.write_all(b"150 go on\r\n").await?;
                let (mut file, _) = data.accept().await?;
                file.read_exact(&mut vec![0; bytes]).await?;
                answer.to_owned()
            }
            Act::TakeAll(told) => {
                control.write_all(b"150 go on\r\n").await?;
                let (mut file, _) = data.accept().await?;
                let end = file.read_to_end(&mut Vec::new()).await;
                drop(told.send(end)); // the test may have ended
                "226 done".to_owned()
            }
            Act::SendThenSay(bytes, answer) => {
                control.write_all(b"150 here it comes\r\n").await?;
                data.accept().await?.0.write_all(bytes.as_bytes()).await?;
                answer.to_owned()
            }
        };
        control.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

fn usual(line: &str, port: u16) -> String {
    match line.split(' ').next().unwrap_or_default() {
        "USER" => "331 who says so?".into(),
        "PASS" => "230 come in".into(),
        // An address that is not its own, as servers behind NAT do.
        "PASV" => format!("227 Entering Passive Mode (192,0,2,1,{},{})", port / 256, port % 256),
        "NOOP" | "TYPE" => "200 fine".into(),
        _ => "500 what?".into(),
    }
}
