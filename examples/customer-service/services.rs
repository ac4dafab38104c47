//! Services about customers: typed input and output, raw requests, connections, and services that call each other.

use http::StatusCode;
use http::header::LOCATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeugma::{Context, Error, Http, Request, Response, Result};

/// Which customer.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Lookup {
    /// The customer's number.
    cust_id: u32,
}

/// A customer, as callers see one.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Customer {
    /// The customer's number.
    cust_id: u32,
    /// The name.
    name: String,
    /// Whether they may order.
    is_active: bool,
}

/// A customer, as the CRM system writes one.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Record {
    name: String,
    active: bool,
}

/// Returns basic information about a customer.
///
/// The CRM system is asked each time; who asked is noted in the background.
#[zeugma::service(name = "get-customer", namespace = "my.api.customer")]
pub(crate) async fn get_customer(ctx: &Context, input: Lookup) -> Result<Customer> {
    let crm = ctx.connection::<Http>("CRM")?;
    let answer = crm.get().param("id", input.cust_id).send().await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Err(Error::not_found(format!("there is no customer {}", input.cust_id)));
    }
    let record: Record = answer.ok()?.json()?;
    // Nobody waits for this one; it has a cid and a deadline of its own.
    ctx.invoke_async("audit", Request::json(&input)?)?;
    Ok(Customer { cust_id: input.cust_id, name: record.name, is_active: record.active })
}

/// Takes lines of `number,name` and answers the last of these customers; any bytes, so the raw request is read.
#[zeugma::service(namespace = "my.api.customer")]
pub(crate) async fn import_customers(ctx: &Context, request: Request) -> Result<Response> {
    let text = std::str::from_utf8(&request.raw).map_err(|e| Error::invalid("send UTF-8 text").because(e))?;
    let mut last = None;
    for (index, line) in text.lines().enumerate() {
        let wrong = || Error::invalid("a line is number,name").detail(format!("/{index}"), "not like that");
        let (number, _name) = line.split_once(',').ok_or_else(wrong)?;
        last = Some(number.trim().parse::<u32>().map_err(|_| wrong())?);
    }
    let Some(last) = last else { return Err(Error::invalid("there is no line")) };
    // Another service, in the same request: the same cid, caller and deadline.
    let found = ctx.invoke("get-customer", Request::json(&Lookup { cust_id: last })?).await?;
    let customer: Customer = found.parse()?;
    ctx.logger().info(format_args!("imported up to {}", customer.name));
    let place = format!("/customer/{last}").parse()?;
    Ok(Response::json(&customer)?.with_status(StatusCode::CREATED).with_header(LOCATION, place))
}

/// Writes to the log who looked at which customer.
#[zeugma::service]
pub(crate) async fn audit(ctx: &Context, input: Lookup) -> Result<()> {
    let who = ctx.caller().map_or("somebody", |caller| caller.name());
    ctx.logger().info(format_args!("{who} looked at customer {}", input.cust_id));
    Ok(())
}

/// Which record.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Key {
    id: u32,
}

/// Stands in for a CRM system, so that the example needs none: it knows the customers 1 to 9.
#[zeugma::service]
pub(crate) async fn crm_stand_in(_ctx: &Context, input: Key) -> Result<Record> {
    match input.id {
        1..=9 => Ok(Record { name: format!("Customer {}", input.id), active: input.id % 2 == 1 }),
        _ => Err(Error::not_found("no such record")),
    }
}
