//! The gateway: the one actor of a node that other nodes see. It carries frames to the desk, and back.

use std::sync::Arc;

use async_trait::async_trait;
use ractor::message::{BoxedDowncastErr, SerializedMessage};
use ractor::rpc::CallResult;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, Message, RpcReplyPort, pg};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link::desk::{Answer, Desk};
use crate::link::{Broken, Wire};

/// Where gateways find each other. The group is process-wide, so two nodes cannot live in one process.
const SCOPE: &str = "zeugma";
const GROUP: &str = "gateway";
/// ractor tells messages apart by this word; ours has only one, since envelopes have kinds of their own.
const VARIANT: &str = "exchange";

/// A frame, and where the one that answers it goes.
pub(crate) struct Exchange(Vec<u8>, RpcReplyPort<Vec<u8>>);

impl Message for Exchange {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        let Self(args, reply) = self;
        Ok(SerializedMessage::Call { variant: VARIANT.into(), args, reply, metadata: None })
    }

    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        match message {
            SerializedMessage::Call { args, reply, .. } => Ok(Self(args, reply)),
            SerializedMessage::Cast { .. } | SerializedMessage::CallReply(..) => Err(BoxedDowncastErr),
        }
    }
}

/// See the module.
pub(crate) struct Gateway {
    pub(crate) desk: Arc<Desk>,
    pub(crate) tasks: TaskTracker,
}

impl Actor for Gateway {
    type Msg = Exchange;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Exchange>, (): ()) -> Result<(), ActorProcessingErr> {
        pg::join_scoped(SCOPE.into(), GROUP.into(), vec![me.get_cell()]);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Exchange>,
        Exchange(frame, reply): Exchange,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // A caller that has given up is not told anything.
        match self.desk.take(frame) {
            Answer::Now(answer) => drop(reply.send(answer)),
            Answer::Later(answer) => {
                // The desk bounds how many there are.
                self.tasks.spawn(async move { drop(reply.send(answer.await)) });
            }
        }
        Ok(())
    }
}

/// The way to the gateway of another node, over one session.
pub(crate) struct GatewayWire {
    gateway: ActorRef<Exchange>,
    cut: CancellationToken,
}

impl GatewayWire {
    /// The gateway at the other end of a session, which is the only remote one with the number of that session.
    pub(crate) fn find(session: ractor_cluster::NodeId, cut: CancellationToken) -> Option<Self> {
        let members = pg::get_scoped_members(&SCOPE.into(), &GROUP.into());
        let ours = |id| matches!(id, ActorId::Remote { node_id, .. } if node_id == session);
        let gateway = members.into_iter().find(|actor| ours(actor.get_id()))?;
        Some(Self { gateway: gateway.into(), cut })
    }
}

#[async_trait]
impl Wire for GatewayWire {
    async fn exchange(&self, frame: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, Broken> {
        let left = deadline.saturating_duration_since(Instant::now());
        let call = self.gateway.call(|reply| Exchange(frame, reply), Some(left));
        tokio::select! {
            () = self.cut.cancelled() => Err(Broken::Lost),
            answer = call => match answer {
                Ok(CallResult::Success(answer)) => Ok(answer),
                Ok(CallResult::Timeout) => Err(Broken::Late),
                Ok(CallResult::SenderError) | Err(_) => Err(Broken::Lost),
            }
        }
    }
}
