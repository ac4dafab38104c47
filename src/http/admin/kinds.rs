//! What there can be: the kinds of definitions, from the registry.

use super::answer::Failure;
use super::call::Call;
use super::shapes::KindView;
use crate::reference;

/// Lists the kinds.
pub(super) async fn list(call: Call) -> Result<Vec<KindView>, Failure> {
    Ok(reference::kinds(&call.app.registry))
}
