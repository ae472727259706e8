//! How agents and frameworks get into a cluster: by credentials, by a token, or by the operator's authority.

use std::path::Path;

use apportion::net::{Credentials, JoinToken};
use apportion::protocol::IdentityKind;
use apportion::runtime::{Addresses, RuntimeError, join};

use super::control::{free_name, new_token};
use crate::arguments::JoinArguments;
use crate::context::{Context, state_folder};
use crate::failure::Failure;

/// The environment variable with a token, for who has not joined before.
const TOKEN_VARIABLE: &str = "APPORTION_TOKEN";

/// The master's address, and credentials: those given, those kept from before, or those that a token gets.
pub(super) async fn admitted(
    kind: IdentityKind,
    name: &str,
    arguments: &JoinArguments,
    context: impl FnOnce() -> Result<Context, Failure>,
) -> Result<(Addresses, Credentials), Failure> {
    if let Some(master) = &arguments.master {
        if let Some(file) = &arguments.credentials {
            return Ok((master.clone(), load(file)?));
        }
        let kept = state_folder()?.join(file_of(kind, name));
        if let Some(token) = given_token(arguments)? {
            return Ok((master.clone(), joined(master, &token, name, &kept).await?));
        }
        if kept.exists() {
            return Ok((master.clone(), load(&kept)?));
        }
        if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
            return Ok((master.clone(), joined(master, &token, name, &kept).await?));
        }
    }
    let context = context()?;
    let master = arguments.master.as_ref().unwrap_or(&context.master).clone();
    let credentials = admitted_by(&context, &master, kind, name).await?;
    Ok((master, credentials))
}

/// The token of which the command line says where it is.
fn given_token(arguments: &JoinArguments) -> Result<Option<String>, Failure> {
    let Some(file) = &arguments.token_file else { return Ok(None) };
    let token = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    token.map(Some).map_err(|error| Failure::Unreadable { file: file.clone(), error })
}

/// Credentials kept from before beside the operator's, or those that the operator's authority gets, as also where the kept ones are out of
/// date.
pub(super) async fn admitted_by(
    context: &Context,
    master: &Addresses,
    kind: IdentityKind,
    name: &str,
) -> Result<Credentials, Failure> {
    let kept = context.folder.join(file_of(kind, name));
    if kept.exists() {
        let credentials = load(&kept)?;
        if !credentials.time_left().is_zero() {
            return Ok(credentials);
        }
        free_name(context, kind, name.to_owned()).await?;
    }
    let token = new_token(context, kind).await?;
    joined(master, &token, name, &kept).await
}

/// Where a party's credentials are kept.
fn file_of(kind: IdentityKind, name: &str) -> String {
    format!("{kind}-{name}.pem")
}

fn load(file: &Path) -> Result<Credentials, Failure> {
    Credentials::load(file)
        .map_err(|error| Failure::Context { file: file.to_owned(), problem: error.to_string() })
}

/// Joins, and keeps the credentials for the next start.
async fn joined(master: &Addresses, token: &str, name: &str, kept: &Path) -> Result<Credentials, Failure> {
    let token: JoinToken = token.parse().map_err(|error| Failure::Usage(format!("{error}")))?;
    let credentials = join(master, &token, name).await.map_err(RuntimeError::from)?;
    if let Some(folder) = kept.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::Unwritable { file: folder.to_owned(), error })?;
    }
    credentials.save(kept).map_err(RuntimeError::from)?;
    Ok(credentials)
}
