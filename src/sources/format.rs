//! Layout of a trace event's records, from the event's `format` file in tracefs.
//!
//! Kernels add, remove and move fields, and renumber reasons, so no layout is assumed. The `format` file of the
//! running kernel is parsed at run time, and a missing field is `None`, not an error.

use std::collections::BTreeMap;

use serde::Serialize;

/// Record layout of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Name of the event, without its system.
    pub name: String,
    /// Number that marks the event's records; differs from boot to boot.
    pub id: u32,
    /// Fields in file order, the common ones first.
    pub fields: Vec<Field>,
    /// Names of field values.
    symbols: Vec<Symbol>,
}

/// Position and type of a field in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Name of the field.
    pub name: String,
    /// C type, with the length in brackets if it is an array.
    #[serde(rename = "type")]
    pub declared: String,
    /// Offset in the record, in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
    /// True if the field is a signed number.
    pub signed: bool,
}

/// Name of a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Symbol {
    field: String,
    value: u64,
    name: String,
}

impl Format {
    /// Parses a `format` file; `None` if it is not one. Skips the fields of lines that cannot be parsed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let after = |label: &str| text.lines().find_map(|line| line.strip_prefix(label));
        let fields: Vec<Field> = text.lines().filter_map(field).collect();
        if fields.is_empty() {
            return None;
        }
        Some(Self {
            name: after("name:")?.trim().to_owned(),
            id: after("ID:")?.trim().parse().ok()?,
            fields,
            symbols: symbols(after("print fmt:").unwrap_or_default()),
        })
    }

    /// Returns the field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Returns the fields that are specific to this event.
    pub fn own_fields(&self) -> impl Iterator<Item = &Field> {
        let own = |field: &&Field| !field.name.starts_with("common_");
        self.fields.iter().filter(own)
    }

    /// Returns this kernel's name for a value of a field; `None` if it has none.
    #[must_use]
    pub fn symbol(&self, field: &str, value: u64) -> Option<&str> {
        let is_it = |symbol: &&Symbol| symbol.field == field && symbol.value == value;
        self.symbols
            .iter()
            .find(is_it)
            .map(|symbol| symbol.name.as_str())
    }

    /// Returns this kernel's names for the values of a field.
    #[must_use]
    pub fn symbols(&self, field: &str) -> BTreeMap<u64, String> {
        let of_it = self.symbols.iter().filter(|symbol| symbol.field == field);
        of_it
            .map(|symbol| (symbol.value, symbol.name.clone()))
            .collect()
    }

    /// Returns the number of named values of a field.
    #[must_use]
    pub fn symbols_of(&self, field: &str) -> usize {
        let of_it = |symbol: &&Symbol| symbol.field == field;
        self.symbols.iter().filter(of_it).count()
    }
}

/// Parses a line such as `field:__u8 saddr[28]; offset:32; size:28; signed:0;`, with tabs between the parts.
fn field(line: &str) -> Option<Field> {
    let line = line.trim().strip_prefix("field:")?;
    let (declaration, rest) = line.split_once(';')?;
    let number = |label: &str| {
        let mut parts = rest.split(';').map(str::trim);
        parts.find_map(|part| part.strip_prefix(label)?.trim().parse::<usize>().ok())
    };
    let (declared, length) = match declaration.rfind('[') {
        // `__data_loc char[] name` has its brackets in the type.
        Some(at) if declaration.ends_with(']') => declaration.split_at(at),
        _ => (declaration, ""),
    };
    let name_at = declared.trim_end().rfind([' ', '*'])? + 1;
    let (kind, name) = declared.split_at(name_at);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    Some(Field {
        name: name.to_owned(),
        declared: format!("{}{length}", kind.trim()),
        offset: number("offset:")?,
        size: number("size:")?,
        signed: number("signed:") == Some(1),
    })
}

/// Parses the tables of `__print_symbolic(REC->field, { 1, "NAME" }, …)`. Skips a value that is the name of a C
/// constant, which the kernel left unexpanded: a record holds only numbers.
fn symbols(print: &str) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    for call in print.split("__print_symbolic(").skip(1) {
        let Some((field, mut table)) = call.split_once(',') else {
            continue;
        };
        let Some(field) = field.trim().strip_prefix("REC->") else {
            continue;
        };
        while let Some((entry, rest)) = next_entry(table) {
            if let Some((value, name)) = entry {
                symbols.push(Symbol {
                    field: field.to_owned(),
                    value,
                    name: name.to_owned(),
                });
            }
            table = rest;
        }
    }
    symbols
}

/// Splits `{ 1, "NAME" }` from the front of a table. Returns its value and name if the value is a number, and the
/// rest of the table; `None` at the end of the table.
fn next_entry(table: &str) -> Option<(Option<(u64, &str)>, &str)> {
    let table = table.trim_start_matches([',', ' ', '\t']);
    let (value, rest) = table.strip_prefix('{')?.split_once(',')?;
    let (name, rest) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    let rest = rest.trim_start().strip_prefix('}')?;
    Some((number(value.trim()).map(|value| (value, name)), rest))
}

/// Parses a number as the kernel's macros leave it: decimal or hexadecimal, perhaps with C's suffixes.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_end_matches(['U', 'L', 'u', 'l']);
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use rstproof_core::kernel::reason;

    use super::*;

    const SEND_RESET: &str = include_str!("../../tests/formats/tcp_send_reset-6.18");
    const RECEIVE_RESET: &str = include_str!("../../tests/formats/tcp_receive_reset-6.18");
    const ERROR_REPORT: &str = include_str!("../../tests/formats/inet_sk_error_report-6.18");
    const SET_STATE: &str = include_str!("../../tests/formats/inet_sock_set_state-6.18");
    const KFREE_SKB: &str = include_str!("../../tests/formats/kfree_skb-6.18");
    /// Format up to Linux 6.9: separate ports and family, no reason.
    const OLD_SEND_RESET: &str = include_str!("../../tests/formats/tcp_send_reset-6.9");

    fn parsed(text: &str) -> Format {
        Format::parse(text).unwrap()
    }

    /// Returns name, offset and size of the event's own fields.
    fn layout(format: &Format) -> Vec<(&str, usize, usize)> {
        let fields = format.own_fields();
        fields
            .map(|field| (field.name.as_str(), field.offset, field.size))
            .collect()
    }

    /// Layout of `TRACE_EVENT(tcp_send_reset)` in include/trace/events/tcp.h: two pointers, an int, an enum, and two
    /// `struct sockaddr_in6`, which are 28 bytes.
    #[test]
    fn a_reset_sent_has_a_reason_and_two_socket_addresses() {
        let format = parsed(SEND_RESET);
        assert_eq!(format.name, "tcp_send_reset");
        assert_eq!(format.id, 2280);
        let expected = [
            ("skbaddr", 8, 8),
            ("skaddr", 16, 8),
            ("state", 24, 4),
            ("reason", 28, 4),
            ("saddr", 32, 28),
            ("daddr", 60, 28),
        ];
        assert_eq!(layout(&format), expected);
        let declared = |name| format.field(name).unwrap().declared.as_str();
        assert_eq!(declared("skbaddr"), "const void *");
        assert_eq!(declared("reason"), "enum sk_rst_reason");
        assert_eq!(declared("saddr"), "__u8[28]");
        assert!(format.field("state").unwrap().signed);
        assert!(!format.field("reason").unwrap().signed);
        assert_eq!(format.field("sport"), None);
    }

    #[test]
    fn the_common_fields_are_there_but_not_the_events_own() {
        let format = parsed(SEND_RESET);
        assert_eq!(format.fields.len(), 4 + 6);
        let pid = format.field("common_pid").unwrap();
        assert_eq!((pid.offset, pid.size, pid.signed), (4, 4, true));
        assert_eq!(
            format.field("common_type").unwrap().declared,
            "unsigned short"
        );
    }

    #[test]
    fn reasons_have_the_names_that_this_kernel_gives_them() {
        let format = parsed(SEND_RESET);
        assert_eq!(format.symbol("reason", 0), Some("NOT_SPECIFIED"));
        assert_eq!(format.symbol("reason", 11), Some("TCP_ABORT_ON_CLOSE"));
        assert_eq!(format.symbol("reason", 25), Some("MAX"));
        assert_eq!(format.symbol("reason", 26), None);
        assert_eq!(format.symbols_of("reason"), 26);
    }

    /// The kernel prints `{ TCP_ESTABLISHED, "TCP_ESTABLISHED" }` for this event, which has no number.
    #[test]
    fn a_table_of_c_constants_names_no_number_and_hides_no_other_table() {
        let format = parsed(SEND_RESET);
        assert_eq!(format.symbols_of("state"), 0);
        assert_eq!(format.symbol("state", 1), None);
    }

    #[test]
    fn each_field_has_its_own_table() {
        let format = parsed(SET_STATE);
        assert_eq!(format.symbol("family", 10), Some("AF_INET6"));
        assert_eq!(format.symbol("protocol", 262), Some("IPPROTO_MPTCP"));
        assert_eq!(format.symbol("oldstate", 8), Some("TCP_CLOSE_WAIT"));
        assert_eq!(format.symbol("newstate", 12), Some("TCP_NEW_SYN_RECV"));
        assert_eq!(format.symbol("family", 262), None);
    }

    #[test]
    fn the_other_events_have_the_layouts_of_this_kernel() {
        let cookie = parsed(RECEIVE_RESET).field("sock_cookie").cloned().unwrap();
        assert_eq!((cookie.offset, cookie.size), (64, 8));
        let error = parsed(ERROR_REPORT).field("error").cloned().unwrap();
        assert_eq!((error.offset, error.size, error.signed), (8, 4, true));
        let v6 = parsed(SET_STATE).field("daddr_v6").cloned().unwrap();
        assert_eq!((v6.offset, v6.size), (56, 16));
        let dropped = parsed(KFREE_SKB);
        assert_eq!(dropped.field("rx_sk").unwrap().offset, 24);
        assert_eq!(dropped.symbol("reason", 45), Some("TCP_RESET"));
        assert_eq!(
            dropped.field("protocol").unwrap().declared,
            "unsigned short"
        );
    }

    #[test]
    fn an_older_kernels_reset_has_ports_and_no_reason() {
        let format = parsed(OLD_SEND_RESET);
        assert_eq!(format.field("reason"), None);
        assert_eq!(format.symbols_of("reason"), 0);
        assert_eq!(format.symbol("state", 1), Some("TCP_ESTABLISHED"));
        let port = format.field("sport").unwrap();
        assert_eq!((port.offset, port.size), (28, 2));
        assert_eq!(format.field("saddr").unwrap().size, 4);
    }

    #[test]
    fn a_line_that_cannot_be_understood_costs_its_field_only() {
        let text = "name: x\nID: 7\nformat:\n\
                    \tfield:void (*odd)(int);\toffset:8;\tsize:8;\tsigned:0;\n\
                    \tfield:int nowhere;\tsize:4;\tsigned:1;\n\
                    \tfield:__data_loc char[] text;\toffset:16;\tsize:4;\tsigned:0;\n\
                    \tfield:struct sock *sk;\toffset:24;\tsize:8;\n";
        let format = parsed(text);
        assert_eq!(layout(&format), [("text", 16, 4), ("sk", 24, 8)]);
        assert_eq!(format.field("text").unwrap().declared, "__data_loc char[]");
        assert_eq!(format.field("sk").unwrap().declared, "struct sock *");
    }

    #[test]
    fn values_may_be_hexadecimal_and_a_table_may_be_cut_short() {
        let text = "name: x\nID: 7\n\tfield:int a;\toffset:8;\tsize:4;\tsigned:1;\n\
                    print fmt: \"%s\", __print_symbolic(REC->a, { 0x1F, \"ONE\" }, { 2UL, \"TWO\" }, { 3, \"TH";
        let format = parsed(text);
        assert_eq!(format.symbol("a", 31), Some("ONE"));
        assert_eq!(format.symbol("a", 2), Some("TWO"));
        assert_eq!(format.symbols_of("a"), 2);
    }

    #[test]
    fn an_invalid_format_is_rejected() {
        assert_eq!(Format::parse(""), None);
        assert_eq!(Format::parse("name: x\nID: 7\nformat:\n"), None);
        let field = "\tfield:int a;\toffset:8;\tsize:4;\tsigned:1;\n";
        assert_eq!(Format::parse(&format!("name: x\n{field}")), None);
        assert_eq!(Format::parse(&format!("ID: 7\n{field}")), None);
    }

    /// The last name marks the end of the kernel's list.
    #[test]
    fn every_reason_that_a_kernel_names_is_known_and_has_its_place() {
        let mut names = Format::parse(SEND_RESET).unwrap().symbols("reason");
        assert_eq!(names.pop_last().unwrap().1, "MAX");
        let known = reason::REASONS.map(|reason| reason.name.to_owned());
        assert_eq!(names.into_values().collect::<Vec<_>>(), known);
    }
}
