//! Trying checks.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::commands::spec;
use crate::executor::command::{ProbePlan, ProcessPlan};
use crate::isolation::{Isolation, Status};

/// A response's status and headers that are longer than this are not read to their end.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Headers of a response that are looked at.
const MAX_HEADERS: usize = 64;

/// Tries a check once. An error is why it did not pass, for people.
pub(super) async fn try_probe(
    probe: ProbePlan,
    timeout: Duration,
    isolation: Isolation,
) -> Result<(), String> {
    let attempt = async {
        match probe {
            ProbePlan::Http { port, path } => http(port, &path).await,
            ProbePlan::Tcp { port } => connect(port).await.map(drop),
            ProbePlan::Command(plan) => command(*plan, isolation).await,
        }
    };
    let too_slow = || Err(format!("no answer within {timeout:?}"));
    tokio::time::timeout(timeout, attempt).await.unwrap_or_else(|_| too_slow())
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect(address).await.map_err(|error| format!("port {port}: {error}"))
}

async fn http(port: u16, path: &str) -> Result<(), String> {
    let mut stream = connect(port).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: apportion\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let broken = |error: std::io::Error| format!("port {port}: {error}");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    loop {
        if stream.read_buf(&mut head).await.map_err(broken)? == 0 {
            return Err(format!("port {port} closed the connection without a whole HTTP response"));
        }
        match status_of(&head)? {
            Some(status) if (200..400).contains(&status) => return Ok(()),
            Some(status) => return Err(format!("GET {path} on port {port} answered {status}")),
            None if head.len() > MAX_HEAD_BYTES => {
                return Err(format!("port {port} sent headers without end"));
            }
            None => {}
        }
    }
}

/// The status of a response, once its head is complete.
fn status_of(head: &[u8]) -> Result<Option<u16>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        // The status line suffices; it comes first.
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Ok(response.code),
        Err(error) => Err(format!("the answer is not HTTP: {error}")),
    }
}

async fn command(plan: ProcessPlan, isolation: Isolation) -> Result<(), String> {
    let start = move || isolation.spawn(&spec(&plan)?).map_err(|error| error.to_string());
    let process = tokio::task::spawn_blocking(start).await.map_err(|error| error.to_string())??;
    // Dropped when it takes too long, which kills it.
    let exit = process.wait().await.map_err(|error| error.to_string())?;
    match exit.status {
        Status::Code(0) => Ok(()),
        Status::Code(code) => Err(format!("the check's command ended with exit code {code}")),
        Status::Signal { signal, .. } => Err(format!("the check's command was ended by signal {signal}")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::executor::command::ProcessLimits;

    const SOON: Duration = Duration::from_secs(20);

    /// A server that answers each connection with these bytes; its port.
    async fn serve(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(answer).await.unwrap();
                let mut request = Vec::new();
                let _ = stream.read_buf(&mut request).await;
            }
        });
        port
    }

    async fn get(port: u16) -> Result<(), String> {
        try_probe(ProbePlan::Http { port, path: "/".to_owned() }, SOON, Isolation::plain()).await
    }

    #[tokio::test]
    async fn http_checks_go_by_the_status() {
        assert_eq!(get(serve(b"HTTP/1.1 204 No Content\r\n\r\n").await).await, Ok(()));
        assert_eq!(get(serve(b"HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n").await).await, Ok(()));
        let refused = get(serve(b"HTTP/1.1 503 Busy\r\n\r\n").await).await.unwrap_err();
        assert!(refused.ends_with("answered 503"), "{refused}");
        let strange = get(serve(b"SSH-2.0-OpenSSH\r\n").await).await.unwrap_err();
        assert!(strange.contains("not HTTP"), "{strange}");
    }

    #[tokio::test]
    async fn tcp_checks_need_somebody_who_listens() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(try_probe(ProbePlan::Tcp { port }, SOON, Isolation::plain()).await, Ok(()));
        drop(listener);
        assert!(try_probe(ProbePlan::Tcp { port }, SOON, Isolation::plain()).await.is_err());
    }

    #[tokio::test]
    async fn command_checks_go_by_the_exit_code_and_are_killed_when_they_take_too_long() {
        let run = |line: &str, timeout| {
            let plan = ProcessPlan {
                argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()],
                env: Vec::new(),
                user: None,
                sandbox: "/".into(),
                volumes: Vec::new(),
                limits: ProcessLimits { cpus_milli: 100, memory_bytes: None },
            };
            try_probe(ProbePlan::Command(Box::new(plan)), timeout, Isolation::plain())
        };
        assert_eq!(run("exit 0", SOON).await, Ok(()));
        assert!(run("exit 3", SOON).await.unwrap_err().ends_with("exit code 3"));
        let slow = run("sleep 1000", Duration::from_millis(50)).await.unwrap_err();
        assert!(slow.starts_with("no answer within"), "{slow}");
    }
}
