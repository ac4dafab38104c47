//! The listings of folders: the form made for programs (MLSD), and the forms that servers without it print for people.

use std::time::SystemTime;

use chrono::{DateTime, NaiveDateTime, Utc};
use sdk::connection::ftp::Entry;
use suppaftp::list::{File, ListParser};

/// The entries of a listing without the folder itself and the one above; or the first line that cannot be read.
/// Nothing is left out in silence.
pub(super) fn entries(listing: &str, mlsd: bool) -> Result<Vec<Entry>, &str> {
    let mut entries = Vec::new();
    for line in listing.lines().filter(|line| !line.is_empty()) {
        let entry = if mlsd { fact_line(line) } else { printed_line(line) };
        match entry.ok_or(line)? {
            Some(entry) if !matches!(entry.name.as_str(), "." | "..") => entries.push(entry),
            _ => {}
        }
    }
    Ok(entries)
}

/// The size in the answer to `MLST`.
pub(super) fn size(answer: &str) -> Option<u64> {
    let line = answer.lines().find(|line| line.starts_with(' '))?;
    let entry = fact_line(line.trim_start())??;
    (!entry.is_dir).then_some(entry.size)
}

/// A line such as `type=file;size=3;modify=20240229123456.789; a name`. Inside: none for what is no entry of the folder.
fn fact_line(line: &str) -> Option<Option<Entry>> {
    let (facts, name) = line.split_once(' ')?;
    let mut entry = Entry { name: name.to_owned(), is_dir: false, size: 0, modified: None };
    for (fact, value) in facts.split(';').filter_map(|fact| fact.split_once('=')) {
        match fact.to_ascii_lowercase().as_str() {
            "type" => match value.to_ascii_lowercase().as_str() {
                "cdir" | "pdir" => return Some(None),
                kind => entry.is_dir = kind == "dir",
            },
            // A folder's, where it is told at all, has a name of its own.
            "size" | "sizd" => entry.size = value.parse().ok()?,
            "modify" => entry.modified = Some(time(value)?),
            _ => {}
        }
    }
    Some(Some(entry))
}

fn time(value: &str) -> Option<DateTime<Utc>> {
    let whole = value.split('.').next()?;
    NaiveDateTime::parse_from_str(whole, "%Y%m%d%H%M%S").ok().map(|time| time.and_utc())
}

/// A line as `ls -l` or `DIR` print it. Inside: none for a line that is not about an entry.
fn printed_line(line: &str) -> Option<Option<Entry>> {
    if line.strip_prefix("total ").is_some_and(|rest| rest.trim().parse::<u64>().is_ok()) {
        return Some(None);
    }
    let plain = plain(line);
    let file = ListParser::parse_posix(&plain).or_else(|_| ListParser::parse_dos(line)).ok()?;
    Some(Some(entry(&file)))
}

/// The line without what the parser does not know: marks behind the permissions, and kinds of files that are neither
/// files nor folders nor links.
fn plain(line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    if chars.get(10).is_some_and(|mark| matches!(mark, '+' | '.' | '@')) {
        chars[10] = ' ';
    }
    if chars.len() > 10 && matches!(chars[0], 'b' | 'c' | 'p' | 's') {
        chars[0] = '-';
    }
    chars.into_iter().collect()
}

fn entry(file: &File) -> Entry {
    let known = file.modified() != SystemTime::UNIX_EPOCH;
    Entry {
        name: file.name().to_owned(),
        is_dir: file.is_directory(),
        size: file.size() as u64,
        modified: known.then(|| file.modified().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: &str, mlsd: bool) -> Vec<(String, bool, u64)> {
        let entries = entries(listing, mlsd).expect("all lines can be read");
        entries.into_iter().map(|entry| (entry.name, entry.is_dir, entry.size)).collect()
    }

    #[test]
    fn facts_give_names_with_blanks_and_leave_out_the_folder_itself() {
        let listing = "type=cdir;modify=20240229123456; .\r\ntype=pdir; ..\r\n\
            Type=file;Size=3;Modify=20240229123456.789;UNIX.mode=0644; a = b; c\r\ntype=dir;sizd=4096; sub\r\n";
        assert_eq!(names(listing, true), [("a = b; c".into(), false, 3), ("sub".into(), true, 4096)]);
        let first = entries(listing, true).expect("read").remove(0);
        assert_eq!(first.modified.map(|m| m.to_rfc3339()), Some("2024-02-29T12:34:56+00:00".into()));
        assert_eq!(size("250-Begin\r\n type=file;size=7; /a\r\n250 End\r\n"), Some(7));
        assert_eq!(size("250-Begin\r\n type=dir;size=7; /a\r\n250 End\r\n"), None);
    }

    #[test]
    fn what_ls_and_dir_print_is_read_and_a_line_that_is_neither_is_named() {
        let listing = "total 12\r\n-rw-r--r--    1 0  0   1234 Nov  5  2023 with blanks.txt\r\n\
            drwxr-xr-x+   2 ftp ftp 4096 Jan 02 13:46 sub\r\nlrwxrwxrwx 1 a b 7 Mar 1 2024 link -> target\r\n\
            prw-r--r-- 1 a b 0 Mar 1 2024 pipe\r\n";
        let read = names(listing, false);
        let expected =
            [("with blanks.txt", false, 1234), ("sub", true, 4096), ("link", false, 7), ("pipe", false, 0)];
        assert_eq!(read, expected.map(|(name, dir, size)| (name.to_owned(), dir, size)));
        let dos = "10-19-20  03:19PM  <DIR>  pub\r\n04-08-14  03:09PM  403  readme.txt\r\n";
        assert_eq!(names(dos, false), [("pub".into(), true, 0), ("readme.txt".into(), false, 403)]);
        assert_eq!(entries("who knows", false), Err("who knows"));
    }
}
