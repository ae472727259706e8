//! `apportion spec`: what people write, checked and explained.

use std::path::{Path, PathBuf};

use apportion::spec::{Document, Header, SpecErrors, explain as resolve};
use apportion_batch::BatchSpec;
use apportion_service::ServiceSpec;

use super::read;
use crate::failure::Failure;
use crate::output::print;

/// A spec of either framework.
pub(super) enum Spec {
    Batch(BatchSpec),
    Service(Box<ServiceSpec>),
}

/// Reads a spec of the kind that it says it is.
pub(super) fn parse(document: &Document) -> Result<Spec, SpecErrors> {
    let header = Header::peek(document)?;
    header.expect_kind(document, &[apportion_batch::KIND, apportion_service::KIND])?;
    if header.kind == apportion_batch::KIND {
        BatchSpec::parse(document).map(Spec::Batch)
    } else {
        ServiceSpec::parse(document).map(|spec| Spec::Service(Box::new(spec)))
    }
}

/// Says whether each spec is right, and all that is wrong with those that are not.
pub(crate) fn check(files: &[PathBuf]) -> Result<(), Failure> {
    let mut errors = Vec::new();
    for file in files {
        match parse(&read(file)?) {
            Ok(_) => print(&format!("{}: ok\n", file.display()))?,
            Err(SpecErrors(found)) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(SpecErrors(errors).into()) }
}

/// Prints the spec with its defaults.
pub(crate) fn explain(file: &Path) -> Result<(), Failure> {
    let document = read(file)?;
    let resolved = match parse(&document)? {
        Spec::Batch(spec) => resolve(&spec, &document),
        Spec::Service(spec) => resolve(&spec, &document),
    };
    print(&resolved)
}
