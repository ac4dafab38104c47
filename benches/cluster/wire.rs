//! A keep-alive connection that asks and reads whole answers; and the little of Redis's protocol that figures need.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// See the module.
pub struct Wire {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Wire {
    /// Connects. `head` is sent with every request.
    pub fn connect(address: &str, head: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::new(stream), head: head.to_owned() })
    }

    /// Asks, and reads status and body.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let head = &self.head;
        let length = body.len();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{head}content-length: {length}\r\n\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let wrong = |what: &str| std::io::Error::other(what.to_owned());
        let status = self.line()?.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| wrong("no status"))?;
        let mut length = None;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let mut body = vec![0; length.ok_or_else(|| wrong("an answer without a length"))?];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("it has hung up"));
        }
        Ok(line.trim_end().to_owned())
    }
}

/// What Redis answers to a command of one line.
pub fn redis(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port))?);
    stream.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
    let mut first = String::new();
    stream.read_line(&mut first)?;
    let Some(length) = first.trim().strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) else {
        return Ok(first);
    };
    let mut text = vec![0; length];
    stream.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
