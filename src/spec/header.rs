//! What every spec begins with.

use serde::{Deserialize, Serialize};

use super::error::suggest;
use super::{Document, SpecErrors};
use crate::resources::Role;

/// The only schema that there is yet.
pub const SCHEMA: u32 = 1;

/// The keys that every spec has, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the language; [`SCHEMA`].
    pub schema: u32,
    /// Which framework it is for, such as `service` or `batch`.
    pub kind: String,
    /// Unique within the framework.
    pub id: String,
    /// Who pays: quota and fair share are per role.
    pub role: Role,
}

impl Header {
    /// Reads the header; other keys are not looked at.
    ///
    /// # Errors
    /// When the document can't be parsed, a key is missing or wrong, or the schema is not known.
    pub fn peek(document: &Document) -> Result<Header, SpecErrors> {
        /// Read first, since another schema may have another header.
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = document.parse()?;
        if schema != SCHEMA {
            let message = format!("unknown schema {schema}; this version knows schema {SCHEMA}");
            return Err(document.error_at(&["schema"], message).into());
        }
        let header: Header = document.parse()?;
        if header.id.is_empty() || header.id.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let message = "an id needs at least one character, and none of white space; write for example \"/shop/web\"";
            return Err(document.error_at(&["id"], message).into());
        }
        Ok(header)
    }

    /// Checks that the spec is of one of the kinds that the caller knows.
    ///
    /// # Errors
    /// When it is not, pointing to its `kind`.
    pub fn expect_kind(&self, document: &Document, known: &[&str]) -> Result<(), SpecErrors> {
        if known.contains(&self.kind.as_str()) {
            return Ok(());
        }
        let mut error = document.error_at(&["kind"], format!("unknown kind '{}'", self.kind));
        error.suggestion = suggest(&self.kind, known);
        Err(error.into())
    }
}
