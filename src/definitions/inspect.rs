//! A look into what is to be deployed, before it is: which services are in the files, and whether a job's time is over.

use actors::job::moment::Moment;
use config::{Catalog, Claim, Definition, Draft, Family, Fault, Rules as _};

use super::prepare::Found;
use super::{Definitions, Refused};

impl Definitions {
    /// What the packages among these drafts hold. What is wrong in their files becomes faults. Files that are there
    /// already, just so, are not looked into again.
    pub(super) async fn inspect(&self, drafts: &[Draft], faults: &mut Vec<Fault>) -> Result<Found, Refused> {
        let packages: Vec<&Draft> =
            drafts.iter().filter(|draft| draft.id.family == Family::Package).collect();
        if packages.is_empty() {
            return Ok(Found::new());
        }
        let current = self.store.load().await?;
        let mut found = Found::new();
        for draft in packages {
            let outcome = self.inspect_one(&current, draft).await;
            let claims = match outcome {
                Ok(claims) => Some(claims),
                Err(more) => {
                    faults.extend(more.into_iter().map(|fault| fault.under(&draft.at())));
                    None
                }
            };
            found.insert(draft.id.clone(), claims);
        }
        Ok(found)
    }

    /// Finds what is new and would never do anything, since its time is over. What is there already may stay: a bundle is
    /// applied again after its jobs have fired.
    pub(super) async fn in_time(&self, drafts: &[Draft], faults: &mut Vec<Fault>) -> Result<(), Refused> {
        let Some(slots) = &self.slots else { return Ok(()) };
        let end = |draft: &Draft| self.registry.kind(&draft.kind).ok()?.end(&draft.params);
        let ending: Vec<_> = drafts
            .iter()
            .filter(|draft| draft.enabled)
            .filter_map(|draft| Some((draft, end(draft)?)))
            .collect();
        if ending.is_empty() {
            return Ok(());
        }
        let current = self.store.load().await?;
        let now = slots.look().await?.now;
        for (draft, (at, end)) in ending {
            if end.timestamp_micros() < now && current.get(&draft.id).is_none() {
                let fault = Fault::new(at, format!("{} has passed", Moment::from(end)));
                faults.push(fault.hint("name a later one, or say enabled: false").under(&draft.at()));
            }
        }
        Ok(())
    }

    async fn inspect_one(&self, current: &Catalog, draft: &Draft) -> Result<Vec<Claim>, Vec<Fault>> {
        if let Some(there) = current.get(&draft.id)
            && self.keyring.open(&there.params).is_ok_and(|params| params == draft.params)
        {
            return Ok(held(there));
        }
        match self.registry.kind(&draft.kind) {
            // What its kind has to say about it, the check tells.
            Ok(kind) if self.registry.check(draft).faults.is_empty() => {
                kind.inspect(&draft.id, &draft.params, &self.registry).await
            }
            _ => Err(Vec::new()),
        }
    }
}

/// What a definition is known to hold.
pub(super) fn held(definition: &Definition) -> Vec<Claim> {
    let claims = definition.claims.iter().filter(|_| definition.id.family == Family::Package);
    claims.map(|what| Claim { at: "files".into(), what: what.clone() }).collect()
}
