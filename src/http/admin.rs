//! The admin API.

use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::app::App;

/// All of the admin listener.
pub fn filter(app: &App) -> BoxedFilter<(Response,)> {
    let _ = app;
    warp::any().map(|| Response::new("".into())).boxed()
}
