//! stub
use crate::app::App;
/// s
pub fn service(app: App) -> App {
    app
}
