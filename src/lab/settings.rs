//! Kernel settings that scenarios rely on, in addition to those that they set themselves.
//!
//! A new network namespace has the kernel's default for most settings, but inherits some from the initial namespace:
//! buffer sizes (`tcp_sk_init()` in `net/ipv4/tcp_ipv4.c`) and those of IPv4 interfaces (`devinet_init_net()` in
//! `net/ipv4/devinet.c`). An administrator may have changed these. In a private namespace they are set to the values
//! that scenarios rely on; if one cannot be written, the scenarios that rely on it are skipped. The host's own
//! loopback is used unchanged (`--host`), so the whole table is checked there and nothing is written.
//!
//! A setting whose value is as good as the default is never written.

#[cfg(test)]
mod irrelevant;
mod table;

use std::io;
use std::ops::RangeInclusive;

use self::table::LOOPBACK_MTU;
pub(crate) use self::table::RELIED_ON;
use super::sysctl::{self, Obstacle};
use crate::sources::host::tcp_of_sockstat;
use rstproof_core::scenario::{Family, Scenario};

/// Kernel setting, its acceptable values, and the scenarios that rely on it.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Name as in `sysctl`.
    pub name: &'static str,
    /// Values that give the results that scenarios expect: a range for each word of the setting.
    pub good: &'static [RangeInclusive<i64>],
    /// Default of the kernel, written if the value is not a good one.
    pub usual: &'static str,
    #[expect(dead_code, reason = "the source of the row, for its readers")]
    /// Effect of the setting, and the kernel function that reads it.
    pub why: &'static str,
    /// True if a new network namespace inherits the value of the initial one instead of the kernel's default.
    pub inherited: bool,
    /// Address family that the setting applies to; `None` for both.
    pub family: Option<Family>,
    /// Returns true for scenarios that rely on the setting.
    pub relied_on_by: fn(&Scenario) -> bool,
}

/// Setting whose value is not a good one, and is not changed.
#[derive(Clone, Debug)]
pub(crate) struct Unmet {
    setting: &'static Setting,
    /// Value in this namespace.
    value: String,
    /// Reason why the value was not changed.
    cause: UnmetCause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum UnmetCause {
    /// The setting belongs to the host, whose settings are never changed.
    OfTheHost,
    /// The kernel refused to change the value, for this reason.
    Unwritable(String),
}

impl Unmet {
    /// Returns true if this scenario relies on the setting over this family.
    pub(crate) fn concerns(&self, scenario: &Scenario, family: Family) -> bool {
        self.setting.family.is_none_or(|of| of == family) && (self.setting.relied_on_by)(scenario)
    }

    /// Returns the reason why a trial is skipped, with the fix.
    pub(crate) fn reason(&self) -> String {
        let Self { setting, value, .. } = self;
        let (name, usual) = (setting.name, setting.usual);
        let command = if name == LOOPBACK_MTU.name {
            format!("`sudo ip link set lo mtu {usual}`")
        } else if usual.contains(' ') {
            format!("`sudo sysctl '{name}={usual}'`")
        } else {
            format!("`sudo sysctl {name}={usual}`")
        };
        match &self.cause {
            UnmetCause::OfTheHost => {
                format!(
                    "it needs the kernel's default {name} (now {value}); set it with {command}, or omit --host"
                )
            }
            UnmetCause::Unwritable(why) => {
                format!(
                    "it needs the kernel's default {name} (now {value}, inherited from the host), but {why}; set it on the host with {command}"
                )
            }
        }
    }
}

impl Setting {
    /// Returns true if this value is as good as the kernel's default.
    fn is_met_by(&self, value: &str) -> bool {
        let mut words = value.split_whitespace();
        self.good.iter().all(|range| {
            let word = words.next().and_then(|word| word.parse().ok());
            word.is_some_and(|number| range.contains(&number))
        })
    }

    /// Returns the value in this namespace if it is not a good one. A setting that cannot be read, or that this
    /// kernel does not have, is assumed to have its default.
    fn unmet_value(&self, read: impl Fn(&str) -> io::Result<String>) -> Option<String> {
        let value = read(self.name).ok()?;
        (!self.is_met_by(&value)).then_some(value)
    }
}

/// Restores, in the namespace of this thread, the kernel's default of inherited settings that differ, for those that
/// `relying` selects. Returns those that could not be changed.
pub(crate) fn restore(relying: impl Fn(&Setting) -> bool) -> Vec<Unmet> {
    let inherited = RELIED_ON.iter().filter(|it| it.inherited && relying(it));
    inherited
        .filter_map(|setting| {
            let value = setting.unmet_value(sysctl::read)?;
            let error = sysctl::write(setting.name, setting.usual).err()?;
            let why = match Obstacle::here() {
                Some(obstacle) => format!("{} in here", obstacle.found()),
                None => format!("it cannot be set: {}", crate::error::reason(&error)),
            };
            Some(Unmet {
                setting,
                value,
                cause: UnmetCause::Unwritable(why),
            })
        })
        .collect()
}

/// Returns the settings of this thread's namespace that scenarios cannot rely on; `mtu` is that of its `lo`, if
/// known. Changes nothing.
pub(crate) fn unmet_here(mtu: Option<u32>) -> Vec<Unmet> {
    let read = |name: &str| match mtu {
        Some(mtu) if name == LOOPBACK_MTU.name => Ok(mtu.to_string()),
        _ => sysctl::read(name),
    };
    let unmet = |setting: &'static Setting| {
        let value = setting.unmet_value(read)?;
        Some(Unmet {
            setting,
            value,
            cause: UnmetCause::OfTheHost,
        })
    };
    let all = RELIED_ON.iter().chain(std::iter::once(&LOOPBACK_MTU));
    let mut unmet: Vec<Unmet> = all.filter_map(unmet).collect();
    unmet.extend(no_room_for_time_wait());
    unmet
}

/// Returns the limit of connections in TIME-WAIT if other connections leave too little of it: those that exist count,
/// too.
fn no_room_for_time_wait() -> Option<Unmet> {
    const NAME: &str = "net.ipv4.tcp_max_tw_buckets";
    let setting = RELIED_ON.iter().find(|it| it.name == NAME)?;
    let limit: i64 = sysctl::read(NAME).ok()?.parse().ok()?;
    let sockstat = std::fs::read_to_string("/proc/thread-self/net/sockstat").ok()?;
    let in_use = i64::try_from(tcp_of_sockstat(&sockstat, "tw")?).ok()?;
    // A limit that is too low by itself is found with the other settings; this is one that other connections have used
    // up.
    let is_full = setting.is_met_by(&limit.to_string())
        && !setting.is_met_by(&limit.saturating_sub(in_use).to_string());
    is_full.then(|| Unmet {
        setting,
        value: format!("{limit} with {in_use} in use"),
        cause: UnmetCause::OfTheHost,
    })
}

/// Returns true if the setting applies to sockets, not to the network between hosts.
pub(crate) fn is_of_sockets(setting: &Setting) -> bool {
    setting.name.starts_with("net.ipv4.tcp_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::irrelevant::IRRELEVANT;
    use super::*;
    use rstproof_core::scenario::ALL;

    /// Names below `/proc/sys/net/ipv4` that begin with `tcp_`, in the initial namespace of Linux 6.18.44.
    const NAMES: &str = include_str!("settings-linux-6.18.txt");

    fn is_known(name: &str) -> bool {
        let relied_on = RELIED_ON.iter();
        let mut relied_on = relied_on.filter_map(|it| it.name.strip_prefix("net.ipv4."));
        relied_on.any(|it| it == name) || IRRELEVANT.iter().any(|(it, _)| *it == name)
    }

    #[test]
    fn each_setting_of_tcp_is_relied_on_or_irrelevant_for_a_reason() {
        let unknown: Vec<_> = NAMES.lines().filter(|name| !is_known(name)).collect();
        assert_eq!(unknown, [""; 0]);
        let irrelevant: BTreeSet<_> = IRRELEVANT.iter().map(|(name, _)| *name).collect();
        assert_eq!(irrelevant.len(), IRRELEVANT.len(), "one is there twice");
        for (name, why) in IRRELEVANT {
            assert!(!why.is_empty(), "{name}");
            let relied_on = RELIED_ON.iter().any(|it| it.name.ends_with(name));
            assert!(!relied_on, "{name} is relied on as well");
        }
    }

    /// Settings that only a newer kernel has are worth a look, but no failure.
    #[test]
    fn settings_of_this_kernel_that_are_not_classified() {
        let here = fs::read_dir("/proc/sys/net/ipv4").into_iter().flatten();
        for entry in here.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("tcp_") && !is_known(&name) {
                eprintln!(
                    "note: this kernel has a setting that src/lab/settings.rs does not know: {name}"
                );
            }
        }
    }

    #[test]
    fn each_setting_has_a_scenario_and_its_usual_value_is_accepted() {
        for setting in RELIED_ON.iter().chain([&LOOPBACK_MTU]) {
            let name = setting.name;
            assert!(setting.is_met_by(setting.usual), "{name}");
            let mut forms = ALL.iter().flat_map(|it| it.forms());
            assert!(forms.any(setting.relied_on_by), "{name}");
        }
    }

    fn setting(name: &str) -> &'static Setting {
        RELIED_ON.iter().find(|it| it.name == name).unwrap()
    }

    /// Values that `tcp_init()` computes from little and much memory, values that tuning guides advise, and values
    /// that break scenarios: a buffer that 60,000 bytes do not fit into, or that 8,000,000 do.
    #[test]
    fn buffers_of_usual_sizes_will_do_and_extreme_ones_will_not() {
        let [read, written] = ["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"].map(setting);
        for good in [
            "4096\t131072\t131072",
            "4096 131072 6291456",
            "4096 87380 134217728",
            "4096 4096 4096",
        ] {
            assert!(read.is_met_by(good), "{good}");
        }
        for good in [
            "4096 16384 1048576",
            "4096\t65536\t134217728",
            "4096 1048576 134217728",
        ] {
            assert!(written.is_met_by(good), "{good}");
        }
        assert!(!read.is_met_by("4096 16777216 33554432"));
        assert!(!written.is_met_by("4096 16777216 33554432"));
        assert!(!written.is_met_by("4096 4096 4096"));
        for nonsense in ["", "4096", "a b c"] {
            assert!(!written.is_met_by(nonsense), "{nonsense}");
        }
    }

    /// Scenarios that differ only in the settings that they rely on.
    #[test]
    fn only_scenarios_that_rely_on_a_setting_are_affected() {
        let concerned = |name: &str| -> Vec<&str> {
            let relying = ALL.iter().filter(|it| (setting(name).relied_on_by)(it));
            relying.map(|it| it.id).collect()
        };
        assert!(concerned("net.ipv4.tcp_wmem").contains(&"linger-zero-unsent"));
        assert!(!concerned("net.ipv4.tcp_wmem").contains(&"close-unread-data"));
        assert!(concerned("net.ipv4.tcp_migrate_req").contains(&"reuseport-close"));
        assert!(concerned("net.ipv4.tcp_max_tw_buckets").contains(&"write-after-peer-close"));
        assert!(concerned("net.ipv4.conf.all.arp_ignore").contains(&"peer-rebooted"));
    }

    #[test]
    fn connections_in_time_wait_are_counted() {
        let text =
            "sockets: used 113\nTCP: inuse 5 orphan 0 tw 3 alloc 6 mem 1\nUDP: inuse 1 mem 0\n";
        assert_eq!(tcp_of_sockstat(text, "tw"), Some(3));
        assert_eq!(tcp_of_sockstat("UDP: inuse 1\n", "tw"), None);
    }

    #[test]
    fn a_reason_names_the_setting_its_value_and_the_command() {
        let unmet = |cause| Unmet {
            setting: setting("net.ipv4.tcp_wmem"),
            value: "4096 4096 4096".to_owned(),
            cause,
        };
        for cause in [
            UnmetCause::OfTheHost,
            UnmetCause::Unwritable("/proc/sys is read-only".to_owned()),
        ] {
            let reason = unmet(cause).reason();
            assert!(
                reason.contains("net.ipv4.tcp_wmem (now 4096 4096 4096"),
                "{reason}"
            );
            assert!(
                reason.contains("`sudo sysctl 'net.ipv4.tcp_wmem=4096 16384 4194304'`"),
                "{reason}"
            );
        }
    }
}
