//! A change of some parameters of a definition, whatever the others are.

use config::{Clear, DefId, Draft, KindTag, Place};
use serde_json::{Map, Value};

use super::{Definitions, Refused};

impl Definitions {
    /// The definition that is there with these parameters in the place of its own, to be applied; a new one of this kind,
    /// if there is none.
    ///
    /// # Errors
    /// If the store does not answer, or a secret cannot be opened.
    pub async fn over(&self, id: DefId, kind: KindTag, given: Map<String, Value>) -> Result<Draft, Refused> {
        let current = self.store.load().await?;
        let (mut kind, mut enabled, mut params) = (kind, true, Map::new());
        if let Some(there) = current.get(&id) {
            (kind, enabled) = (there.kind.clone(), there.enabled);
            params = self.keyring.open(&there.params)?.0;
        }
        params.extend(given);
        Ok(Draft { id, kind, enabled, params: Clear(params), place: Place::default() })
    }
}
