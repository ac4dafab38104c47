//! Services compiled into test nodes, each for one behaviour.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeugma::{Context, Error, Request, Response, Result, Service, Vault};

/// All of them.
pub static ALL: &[&dyn Service] = &[
    &get_customer,
    &sleepy,
    &panics,
    &forwards,
    &invokes_itself,
    &nests,
    &starts_background,
    &counts,
    &header_names,
    &large,
    &who,
    &notes,
    &slow_note,
    &fails_twice,
    &has_role,
    &relays,
    &picks_a_method,
    &reads_a_secret,
    &fetches,
];

/// What a customer is looked up by.
#[derive(Deserialize, JsonSchema)]
pub struct CustomerRequest {
    cust_id: u64,
    #[serde(default)]
    verbose: bool,
}

/// A customer.
#[derive(Serialize, Deserialize, JsonSchema, PartialEq, Debug)]
pub struct Customer {
    pub id: u64,
    pub name: String,
    pub verbose: bool,
}

/// Returns basic information about a customer.
///
/// The name is made up.
#[zeugma::service(name = "get-customer", namespace = "my.api.customer")]
pub async fn get_customer(_ctx: &Context, input: CustomerRequest) -> Result<Customer> {
    if input.cust_id == 404 {
        return Err(Error::not_found("there is no such customer"));
    }
    Ok(Customer { id: input.cust_id, name: format!("Customer {}", input.cust_id), verbose: input.verbose })
}

/// Waits as many milliseconds as the body says.
#[zeugma::service]
pub async fn sleepy(_ctx: &Context, request: Request) -> Result<Response> {
    let millis =
        std::str::from_utf8(&request.raw)?.trim().parse().map_err(|_| Error::invalid("send a number"))?;
    tokio::time::sleep(Duration::from_millis(millis)).await;
    Ok(Response::new("slept"))
}

/// Answers the names of the headers that it sees.
#[zeugma::service]
pub async fn header_names(_ctx: &Context, request: Request) -> Result<Response> {
    let headers = request.http.iter().flat_map(|head| head.headers.keys());
    Response::json(&headers.map(|name| name.as_str()).collect::<Vec<_>>())
}

/// Panics, with a secret in its message.
#[zeugma::service]
pub async fn panics(_ctx: &Context) -> Result<()> {
    panic!("the secret is hush-hush");
}

/// Invokes the service whose name is the body.
#[zeugma::service]
pub async fn forwards(ctx: &Context, request: Request) -> Result<Response> {
    let name = String::from_utf8_lossy(&request.raw).into_owned();
    ctx.invoke(&name, Request::new(r#"{"cust_id": 7}"#)).await
}

/// Invokes itself.
#[zeugma::service]
pub async fn invokes_itself(ctx: &Context) -> Result<Response> {
    ctx.invoke("invokes-itself", Request::default()).await
}

/// Invokes a service that invokes this one again.
#[zeugma::service]
pub async fn nests(ctx: &Context) -> Result<Response> {
    ctx.invoke("forwards", Request::new("nests")).await
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How often `counts` was called.
pub fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}

/// Counts its calls.
#[zeugma::service]
pub async fn counts(_ctx: &Context) -> Result<()> {
    COUNT.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// Starts `counts` and does not wait.
#[zeugma::service]
pub async fn starts_background(ctx: &Context) -> Result<Response> {
    let cid = ctx.invoke_async("counts", Request::default())?;
    assert_ne!(cid, ctx.cid());
    Ok(Response::new(cid.to_string()))
}

/// Answers a long text that compresses well.
#[zeugma::service]
pub async fn large(_ctx: &Context) -> Result<Response> {
    Ok(Response::new("all work and no play ".repeat(20_000)))
}

/// What the server behind the connection CRM answers.
#[zeugma::service]
pub async fn fetches(ctx: &Context) -> Result<Response> {
    let answer = ctx.connection::<zeugma::Http>("CRM")?.get().send().await?.ok()?;
    Ok(Response::new(answer.body))
}

/// Says who calls.
#[zeugma::service]
pub async fn who(ctx: &Context) -> Result<Response> {
    Ok(Response::new(ctx.caller().map_or("nobody", |caller| caller.name()).to_owned()))
}

static NOTES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What `notes` and its like were called with, by whom, if the text has this word.
pub fn noted(word: &str) -> Vec<String> {
    NOTES.lock().expect("no panic").iter().filter(|note| note.contains(word)).cloned().collect()
}

fn note(ctx: &Context, request: &Request) {
    let (channel, text) = (ctx.channel(), String::from_utf8_lossy(&request.raw).into_owned());
    let (kind, job) = (channel.r#type, channel.job.unwrap_or("-"));
    NOTES.lock().expect("no panic").push(format!("{} {kind} {job} {} {text}", channel.name, ctx.cid()));
}

/// Writes down what it is called with.
#[zeugma::service]
pub async fn notes(ctx: &Context, request: Request) -> Result<()> {
    note(ctx, &request);
    Ok(())
}

/// Writes down what it is called with, and takes half a second.
#[zeugma::service]
pub async fn slow_note(ctx: &Context, request: Request) -> Result<()> {
    note(ctx, &request);
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// Fails twice for each cid, and then does not.
#[zeugma::service]
pub async fn fails_twice(ctx: &Context, request: Request) -> Result<()> {
    note(ctx, &request);
    match noted(ctx.cid().as_str()).len() {
        ..=2 => Err(Error::upstream("not yet")),
        _ => Ok(()),
    }
}

/// Says whether the caller has the role that the body names.
#[zeugma::service]
pub async fn has_role(ctx: &Context, request: Request) -> Result<Response> {
    let role = String::from_utf8_lossy(&request.raw).into_owned();
    Ok(Response::new(ctx.caller().is_some_and(|caller| caller.has(&role)).to_string()))
}

/// Picks the method of Vault that the header `X-Method` names; what is in `X-Key` is to be looked at as a token.
#[zeugma::service]
pub async fn picks_a_method(_ctx: &Context, request: Request) -> Result<Response> {
    let question = request.payload()?;
    let environ = &question["environ"];
    let key = environ["HTTP_X_KEY"].as_str().map(|key| serde_json::json!({"X-Zato-Vault-Token": key}));
    Response::json(&serde_json::json!({"method": environ["HTTP_X_METHOD"], "headers": key}))
}

/// Writes a secret with the connection `my.vault`, reads it again, and does what else a connection to Vault can do.
#[zeugma::service]
pub async fn reads_a_secret(ctx: &Context, request: Request) -> Result<Response> {
    let path = String::from_utf8_lossy(&request.raw).into_owned();
    let fields = serde_json::Map::from_iter([("a".to_owned(), "one".into()), ("b".to_owned(), 2.into())]);
    let vault: Vault = ctx.connection("my.vault")?;
    vault.ping().await?;
    vault.write(&path, fields).await?;
    let read = vault.read(&path).await?;
    let field = vault.field(&path, "a").await?;
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let listed = vault.list(folder).await?.iter().any(|listed| listed == name);
    let raw = vault.request(http::Method::GET, "sys/seal-status", None).await?;
    vault.delete(&path).await?;
    let gone = vault.read(&path).await.is_err_and(|e| e.kind() == zeugma::ErrorKind::NotFound);
    Response::json(&serde_json::json!({
        "read": read, "field": field, "listed": listed, "raw": raw["sealed"], "gone": gone,
    }))
}

/// Sends a request with the connection `other`, and answers the status.
#[zeugma::service]
pub async fn relays(ctx: &Context) -> Result<Response> {
    let answer = ctx.connection::<zeugma::Http>("other")?.get().send().await?;
    Ok(Response::new(answer.status.to_string()))
}
