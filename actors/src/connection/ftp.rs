//! stub
use crate::kind::{Kind, Start};
use crate::part::Part;
use async_trait::async_trait;
use schemars::JsonSchema;
use sdk::Result;
use serde::{Deserialize, Serialize};
/// p
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Params {}
/// k
pub struct FtpKind;
#[async_trait]
impl Kind for FtpKind {
    const TAG: &'static str = "connection.ftp";
    type Params = Params;
    fn example() -> Params {
        Params {}
    }
    async fn start(_: Params, _: Start) -> Result<Part> {
        Err(sdk::Error::internal("stub"))
    }
}
