//! As whom a master speaks with etcd, and whom it takes for etcd.

use std::fmt;
use std::path::Path;

use etcd_client::{Certificate, Identity, TlsOptions};

use crate::store::StoreError;

/// What mutual TLS with the members of etcd needs: who signs their certificates, and this master's own certificate and key. All PEM.
/// `Debug` shows none of it.
#[derive(Clone)]
pub struct EtcdSecurity(TlsOptions);

impl EtcdSecurity {
    /// From the files that `etcdctl` takes as `--cacert`, `--cert` and `--key`.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn load(authority: &Path, certificate: &Path, key: &Path) -> Result<Self, StoreError> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|error| StoreError::Open { path: path.to_owned(), reason: error.to_string() })
        };
        let authority = Certificate::from_pem(read(authority)?);
        let identity = Identity::from_pem(read(certificate)?, read(key)?);
        Ok(EtcdSecurity(TlsOptions::new().ca_certificate(authority).identity(identity)))
    }

    pub(super) fn options(&self) -> TlsOptions {
        self.0.clone()
    }
}

impl fmt::Debug for EtcdSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSecurity").finish_non_exhaustive()
    }
}
