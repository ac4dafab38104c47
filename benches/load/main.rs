//! The load harness: bare hyper and the engine's paths on the same work in one run, by CPU per request.
//!
//! `cargo bench --bench load` runs everything; `-- --seconds 5 --rounds 3 --connections 32` changes the measure, `--only
//! pythons` compares the Python ones, `--only secured` those whose callers must show something, `--only
//! figures` what a node costs by itself. What checks callers is also loaded until 70 % of a core is busy, with requests
//! that come whether or not the ones before are answered. Each
//! server is a process of its own, so that its CPU time is its own; the rounds go through all servers in turn, so
//! that a machine whose speed drifts hurts them all alike. The figure to compare is CPU per request.

#![allow(missing_docs, unreachable_pub)] // a program, not a library

mod client;
mod counterparts;
mod figures;
mod paced;
mod python;
mod serve;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use client::Sample;
use counterparts::Counterparts;

/// What is served, in the order of the table. The first one is the reference.
const VARIANTS: [(&str, &str); 12] = [
    ("hyper", "bare hyper, body collected and echoed"),
    ("rest", "REST channel, JSON service"),
    ("basic", "REST channel, JSON service, basic auth"),
    ("hashed", "REST channel, JSON service, basic auth by argon2 hash"),
    ("key", "REST channel, JSON service, API key"),
    ("jwt", "REST channel, JSON service, sealed JWT"),
    ("limited", "REST channel, JSON service, API key, shared rate limit"),
    ("vault", "REST channel, JSON service, token of Vault, remembered"),
    ("actor", "REST channel, JSON service behind one ractor actor"),
    ("raw", "REST channel, raw echo service"),
    ("route", "REST channel with a path parameter, JSON service"),
    ("routes", "the same among 10,000 routes"),
];

/// Those that are also loaded so far that a part of one core is busy.
const PACED: [&str; 4] = ["hyper", "jwt", "limited", "vault"];
/// Which part.
const PART: f64 = 0.7;
/// How many requests a second show what one costs then.
const PROBE: f64 = 30_000.0;
/// A server in a process of its own.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    #[allow(clippy::disallowed_methods)] // some say where they will be before they are there
    fn start(variant: &str, counterparts: &Counterparts, workers: usize) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--serve", variant])
            .args(counterparts.arguments(variant))
            .env("TOKIO_WORKER_THREADS", workers.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its address");
        let address = line.trim().to_owned();
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            let ended = child.try_wait().expect("asked");
            assert!(ended.is_none(), "{variant} ended before it answered: {ended:?}");
            assert!(begun.elapsed() < Duration::from_secs(60), "{variant} does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, address }
    }
}

impl Drop for Server {
    #[allow(clippy::disallowed_methods)] // they have this long
    fn drop(&mut self) {
        // It is only to be gone; those with workers of their own take them along if they are told.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        std::thread::sleep(Duration::from_millis(300));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Keeps all threads of a process on one core.
fn pin(process: u32, core: usize) {
    taskset(process, &core.to_string());
}

/// Lets them go anywhere.
fn unpin(process: u32) {
    taskset(process, "0-1023");
}

fn taskset(process: u32, cores: &str) {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", cores, &process.to_string()]).stdout(Stdio::null());
    assert!(command.status().is_ok_and(|status| status.success()), "taskset keeps processes on a core");
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1));
    if let Some(variant) = value("--serve") {
        return match python::is_rival(variant) {
            true => python::serve_rival(variant),
            false => serve::serve(variant, value(counterparts::BESIDE).map(String::as_str)),
        };
    }
    let number = |name, default: usize| value(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let measure = Measure {
        time: Duration::from_secs(number("--seconds", 3) as u64),
        rounds: number("--rounds", 5),
        connections: number("--connections", 32),
    };
    let only = value("--only").map(String::as_str);
    if only != Some("figures") {
        let rivals = python::are_rivals_there();
        if !rivals {
            println!("FastAPI and gunicorn are left out: tests/servers.sh frameworks installs them\n");
        }
        let counterparts = Counterparts::start();
        let there = |name: &str| (rivals || !python::is_rival(name)) && counterparts.has(name);
        let wanted = |name: &str| match only {
            None => true,
            // Those in Python, and what they are compared with.
            Some("pythons") => python::VARIANTS.iter().any(|(python, _)| *python == name),
            Some("secured") => name == "key" || PACED.contains(&name),
            Some(only) => name == "hyper" || name.starts_with(only),
        };
        let all = VARIANTS.iter().chain(&python::VARIANTS);
        let chosen: Vec<Variant> = all.filter(|(name, _)| wanted(name) && there(name)).copied().collect();
        compare(&chosen, &counterparts, &measure);
        delays(&chosen, &counterparts, &measure);
    }
    if only.is_none_or(|only| only == "figures") {
        figures::print();
    }
}

/// A word for what is served, and its name in the table.
type Variant = (&'static str, &'static str);

/// How it is measured.
struct Measure {
    time: Duration,
    rounds: usize,
    connections: usize,
}

/// Loads all of them as much as they can take, and prints what each request costs.
fn compare(chosen: &[Variant], counterparts: &Counterparts, measure: &Measure) {
    let servers: Vec<Server> = chosen.iter().map(|(name, _)| Server::start(name, counterparts, 2)).collect();
    let mut samples: Vec<Vec<Sample>> = chosen.iter().map(|_| Vec::new()).collect();
    for round in 0..=measure.rounds {
        for ((server, (name, _)), samples) in servers.iter().zip(chosen).zip(&mut samples) {
            let time = if round == 0 { Duration::from_millis(700) } else { measure.time };
            let sample = client::load(&server.address, server.child.id(), name, measure.connections, time);
            if round > 0 {
                samples.push(sample); // the first round only warms up
            }
        }
    }
    let Measure { time, rounds, connections } = measure;
    println!("{connections} connections, {rounds} rounds of {time:?} each; medians of the rounds\n");
    println!("{:55} {:>9} {:>9} {:>9} {:>12} {:>7}", "", "req/s", "p50 us", "p99 us", "CPU us/req", "ratio");
    let reference = client::median(samples.iter().take(1).flatten().map(|s| s.cpu_us));
    for ((_, what), samples) in chosen.iter().zip(&samples) {
        let of = |f: fn(&Sample) -> f64| client::median(samples.iter().map(f));
        println!(
            "{what:55} {:>9.0} {:>9.0} {:>9.0} {:>12.2} {:>7.2}",
            of(|s| s.per_second),
            of(|s| s.p50_us),
            of(|s| s.p99_us),
            of(|s| s.cpu_us),
            of(|s| s.cpu_us) / reference,
        );
    }
}

/// Loads those of them that are in [`PACED`] so far that a part of one core is busy, and prints how long answers take.
fn delays(chosen: &[Variant], counterparts: &Counterparts, measure: &Measure) {
    let paced = || chosen.iter().filter(|(name, _)| PACED.contains(name));
    if paced().next().is_none() {
        return;
    }
    println!("\nwith {:.0} % of one core busy, sent on time whatever is answered\n", PART * 100.0);
    for (name, what) in paced() {
        // Else whoever sends and whoever answers would wait for each other's core, and that would be what is measured.
        let server = Server::start(name, counterparts, 1);
        pin(server.child.id(), 0);
        pin(std::process::id(), 1);
        let (address, pid) = (&server.address, server.child.id());
        let paced = |rate| paced::paced(address, pid, name, measure.connections, measure.time, rate);
        // The busier a server is, the more it does at once, and the less each request costs: so it is asked how it is now.
        let cost = client::median((0..measure.rounds).map(|_| paced(PROBE).cpu_us));
        let paced: Vec<Sample> = (0..measure.rounds).map(|_| paced(PART * 1_000_000.0 / cost)).collect();
        let of = |f: fn(&Sample) -> f64| client::median(paced.iter().map(f));
        let (per_second, p50, p99) = (of(|s| s.per_second), of(|s| s.p50_us), of(|s| s.p99_us));
        println!("{what:55} {per_second:>9.0} {p50:>9.0} {p99:>9.0} {:>12.2}", of(|s| s.cpu_us));
    }
    unpin(std::process::id());
}
