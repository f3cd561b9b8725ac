//! What must be right before `lambda_runtime` takes over, which panics otherwise; and how Lambda learns of a start
//! that failed.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use serde_json::json;
use stanch_core::{Error, Kind, Result};

use crate::env::Env;

/// The Runtime API is on the same machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// The address of the Runtime API.
///
/// # Errors
/// [`Kind::Invalid`] when a variable that Lambda always sets is missing or malformed.
pub(crate) fn api(env: &Env) -> Result<String> {
    for name in ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"] {
        env.text(name)?.ok_or_else(|| Error::invalid(name, "must be set"))?;
    }
    let memory = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
    if env.text(memory)?.is_none_or(|text| text.parse::<i32>().is_err()) {
        return Err(Error::invalid(memory, "must be a number of MB"));
    }
    let name = "AWS_LAMBDA_RUNTIME_API";
    let api = env.text(name)?.unwrap_or_default();
    match api.parse::<http::Uri>() {
        Ok(uri) if uri.authority().is_some_and(|authority| authority.port_u16().is_some()) => Ok(api),
        _ => Err(Error::invalid(name, "must be HOST:PORT")),
    }
}

/// Tells Lambda why the start failed (AWS Lambda: "Runtime API", "Initialization error"), so that the function's
/// log and metrics say so. One request, without a client that would have to be built first.
///
/// # Errors
/// When the Runtime API cannot be reached or does not take it.
pub(crate) fn report(api: &str, error: &Error) -> Result<()> {
    let kind = format!("Stanch.{:?}", error.kind());
    let body = json!({"errorType": kind, "errorMessage": error.to_string(), "stackTrace": []}).to_string();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let unheard =
        |cause: std::io::Error| Error::new(Kind::Unavailable, "lambda:init/error", "no answer").because(cause);
    let answer = (|| {
        let address = api.to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("no address"))?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    })()
    .map_err(unheard)?;
    if answer.starts_with(b"HTTP/1.1 2") {
        Ok(())
    } else {
        Err(Error::new(Kind::Internal, "lambda:init/error", "the Runtime API does not take it"))
    }
}
