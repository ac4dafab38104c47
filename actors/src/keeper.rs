//! The supervisor of all workers: it survives each of them, and tells the reconciler which one was lost.

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::reconcile::ReconcilerMsg;

/// Nobody tells the keeper anything. A type of its own, since ractor_cluster shows every actor that takes `()` to all
/// other nodes.
pub enum KeeperMsg {}

impl ractor::Message for KeeperMsg {}

/// See the module.
pub struct Keeper;

impl Actor for Keeper {
    type Msg = KeeperMsg;
    type State = ActorRef<ReconcilerMsg>;
    type Arguments = ActorRef<ReconcilerMsg>;

    async fn pre_start(
        &self,
        _: ActorRef<KeeperMsg>,
        reconciler: ActorRef<ReconcilerMsg>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(reconciler)
    }

    /// Overrides the default, which would stop this supervisor, and with it all other workers.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<KeeperMsg>,
        event: SupervisionEvent,
        reconciler: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(worker, error) = event {
            let lost = ReconcilerMsg::Lost { worker: worker.get_id(), error: error.to_string() };
            // The reconciler ends last; without it nothing is to be restarted.
            drop(reconciler.cast(lost));
        }
        Ok(())
    }
}
