//! Every command that the pages show is one, and every command there is has its place on the page about them.

use super::text::{Block, none, page, pages};

/// The commands of a script: what follows `zeugma`, or a node built like it, in each.
fn commands(script: &str) -> Vec<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    let lines = joined.lines().flat_map(simple_commands);
    let ours = |words: Vec<String>| {
        let start = words.iter().position(|word| !is_assignment(word))?;
        match words.get(start).map(String::as_str) {
            Some("zeugma" | "customer") => Some(words[start..].to_vec()),
            Some("cargo") if words.get(start + 1).is_some_and(|word| word == "run") => {
                let dashes = words.iter().position(|word| word == "--")?;
                Some(words[dashes..].to_vec())
            }
            _ => None,
        }
    };
    lines.filter_map(ours).collect()
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// The simple commands of one line, as words: enough of a shell for what pages show.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut quote, mut redirected) = (None::<String>, None, false);
    let end = |word: &mut Option<String>, redirected: &mut bool, all: &mut Vec<Vec<String>>| {
        if let Some(word) = word.take()
            && !std::mem::take(redirected)
            && let Some(last) = all.last_mut()
        {
            last.push(word);
        }
    };
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | ';' | '&') => {
                end(&mut word, &mut redirected, &mut all);
                all.push(Vec::new());
            }
            (None, '<' | '>') => {
                end(&mut word, &mut redirected, &mut all);
                redirected = true;
            }
            (None, c) if c.is_whitespace() => end(&mut word, &mut redirected, &mut all),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut redirected, &mut all);
    all
}

#[test]
fn every_command_on_a_page_is_understood() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for page in pages() {
        // A block of code can also be written by indenting it.
        let prose = page.prose();
        let indented = prose.lines().filter(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n");
        let by_indent = Block { at: page.path.clone(), info: "sh".into(), text: indented };
        for block in page.blocks().into_iter().chain([by_indent]) {
            let script = match block.info.as_str() {
                "sh" => block.text,
                "console" => {
                    block.text.lines().filter_map(|l| l.strip_prefix("$ ")).collect::<Vec<_>>().join("\n")
                }
                _ => continue,
            };
            for command in commands(&script) {
                checked += 1;
                if let Err(error) = zeugma::cli::command().try_get_matches_from(&command)
                    && error.use_stderr()
                {
                    wrong.push(format!("{}: {}: {error}", block.at, command.join(" ")));
                }
            }
        }
    }
    none(wrong);
    assert!(checked >= 60, "only {checked} commands were found");
}

#[test]
fn every_command_and_its_own_commands_are_on_the_page() {
    let text = page("docs/cli.md").text;
    let mut missing = Vec::new();
    for command in zeugma::cli::command().get_subcommands() {
        let name = command.get_name();
        let mut wanted = vec![format!("zeugma {name}")];
        wanted.extend(command.get_subcommands().map(|own| format!("zeugma {name} {}", own.get_name())));
        missing.extend(wanted.into_iter().filter(|wanted| !text.contains(wanted.as_str())));
    }
    none(missing);
}

#[test]
fn a_script_is_cut_into_its_commands() {
    let words = commands(
        "A=1 zeugma apply -f 'a b' --reason \"x # y\" > out # that is all\npass | zeugma password set s n\n",
    );
    assert_eq!(words[0], ["zeugma", "apply", "-f", "a b", "--reason", "x # y"]);
    assert_eq!(words[1], ["zeugma", "password", "set", "s", "n"]);
    assert_eq!(commands("cargo run --example customer -- start \\\n  --demo"), [["--", "start", "--demo"]]);
}
