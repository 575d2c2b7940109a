//! Idle time-outs of well-known devices and servers, which a failure after a silence suggests.
//!
//! A device on the path forgets a connection that was silent for its time-out, and nothing shows that until an end sends again: the
//! silence is at least as long as the time-out. Some devices reset both ends at that moment instead: the RST replies to nothing, and the
//! silence before it is the time-out. A server closes by itself when its time-out is over: the time from its last data to its FIN or
//! RST is the time-out. All are defaults that an operator may change, so that a time only suggests them.

use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use super::identified::identified;
use super::last_words::Protocol;

identified! {
    /// Device or server with a published default.
    pub enum IdleTimeout {
        /// 350 s for TCP.
        AwsNlb = "aws-nlb", "AWS Network Load Balancer";
        /// 350 s.
        AwsNatGateway = "aws-nat-gateway", "AWS NAT gateway";
        /// 4 minutes.
        AzureLoadBalancer = "azure-load-balancer", "Azure Load Balancer";
        /// 5 minutes.
        F5BigIp = "f5-big-ip", "F5 BIG-IP";
        /// 10 minutes.
        GcpVpcFirewall = "gcp-vpc-firewall", "connection tracking of Google Cloud VPC networks";
        /// 1,200 s.
        GcpCloudNat = "gcp-cloud-nat", "Google Cloud NAT";
        /// 15 minutes.
        LinuxIpvs = "linux-ipvs", "Linux IPVS";
        /// 1 hour.
        CiscoAsa = "cisco-asa", "Cisco ASA";
        /// 5 days.
        LinuxConntrack = "linux-conntrack", "Linux conntrack";
        /// 5 s.
        ApacheHttpd = "apache-httpd", "Apache httpd";
        /// 5 s.
        NodeHttp = "node-http", "Node.js";
        /// 20 s.
        TomcatServerXml = "tomcat-server-xml", "Tomcat as its standard server.xml sets it";
        /// 60 s.
        Tomcat = "tomcat", "Tomcat";
        /// 60 s.
        AwsAlb = "aws-alb", "AWS Application Load Balancer";
        /// 60 s.
        AwsClassicLb = "aws-classic-lb", "AWS Classic Load Balancer";
        /// 65 s.
        NodeHttpNewer = "node-http-newer", "newer Node.js";
        /// 75 s.
        Nginx = "nginx", "nginx";
    }
}

/// Effect of a time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The device forgets the connection.
    Forgets,
    /// The device forgets the connection or, if it is set up so, resets both ends.
    ForgetsOrResets,
    /// The device resets both ends.
    Resets,
    /// The server closes the connection.
    Closes,
    /// The server closes a kept-alive connection of HTTP.
    ClosesHttp,
}

/// Published default.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Time-out in seconds.
    pub seconds: u32,
    /// Effect of the time-out.
    pub effect: Effect,
    /// Document that states it.
    pub source: &'static str,
}

impl IdleTimeout {
    /// Returns the default, and where it is published.
    #[must_use]
    pub fn published(self) -> Published {
        use Effect::{Closes, ClosesHttp, Forgets, ForgetsOrResets, Resets};
        let (seconds, effect, source) = match self {
            Self::AwsNlb => (
                350,
                Forgets,
                "Elastic Load Balancing, Network Load Balancers: Update the TCP idle timeout",
            ),
            Self::AwsNatGateway => (
                350,
                Forgets,
                "Amazon VPC User Guide, Troubleshoot NAT gateways: connection drops after 350 seconds",
            ),
            // Without TCP reset it drops flows silently; with it, it sends RSTs to client and server at the time of the time-out.
            Self::AzureLoadBalancer => (
                240,
                ForgetsOrResets,
                "Azure Load Balancer: Configure TCP reset and idle timeout; TCP Reset and Idle Timeout",
            ),
            Self::F5BigIp => (
                300,
                Resets,
                "F5 BIG-IP AS3 Schema Reference, L4_Profile: idleTimeout, resetOnTimeout",
            ),
            Self::GcpVpcFirewall => (
                600,
                Forgets,
                "Google Compute Engine, Troubleshooting: idle connections",
            ),
            Self::GcpCloudNat => (
                1_200,
                Forgets,
                "Google Cloud NAT: tcp-established-idle-timeout",
            ),
            Self::LinuxIpvs => (
                900,
                Forgets,
                "Linux, ip_vs_proto_tcp.c: timeout of IP_VS_TCP_S_ESTABLISHED",
            ),
            Self::CiscoAsa => (
                3_600,
                Forgets,
                "Cisco ASA Series Firewall CLI Configuration Guide, Connection Settings: timeout conn",
            ),
            Self::LinuxConntrack => (
                432_000,
                Forgets,
                "Linux, nf_conntrack-sysctl: nf_conntrack_tcp_timeout_established",
            ),
            Self::ApacheHttpd => (5, ClosesHttp, "Apache HTTP Server, core: KeepAliveTimeout"),
            Self::NodeHttp => (
                5,
                ClosesHttp,
                "Node.js, http: server.keepAliveTimeout (versions 8 to 25)",
            ),
            Self::TomcatServerXml => (
                20,
                ClosesHttp,
                "Apache Tomcat, HTTP Connector: connectionTimeout in the standard server.xml",
            ),
            Self::Tomcat => (
                60,
                ClosesHttp,
                "Apache Tomcat, HTTP Connector: keepAliveTimeout, connectionTimeout",
            ),
            Self::AwsAlb => (
                60,
                ClosesHttp,
                "Elastic Load Balancing, Application Load Balancers: Connection idle timeout",
            ),
            Self::AwsClassicLb => (
                60,
                Closes,
                "Elastic Load Balancing, Classic Load Balancers: Configure the idle connection timeout",
            ),
            Self::NodeHttpNewer => (
                65,
                ClosesHttp,
                "Node.js, http: server.keepAliveTimeout (since its change from 5 s)",
            ),
            Self::Nginx => (
                75,
                ClosesHttp,
                "nginx, ngx_http_core_module: keepalive_timeout",
            ),
        };
        Published {
            seconds,
            effect,
            source,
        }
    }

    fn ns(self) -> i64 {
        i64::from(self.published().seconds) * NS_PER_SEC
    }
}

/// Set of devices and servers: a bit for each in the order of [`IdleTimeout::ALL`], and one for those that reset.
// Each failure has one, and a capture may have a million of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleTimeouts(u32);

const _: () = assert!(IdleTimeout::ALL.len() <= 31);

impl IdleTimeouts {
    /// Bit of devices that have sent an RST at their time-out.
    const OF_RESET: u32 = 1 << 31;

    /// Returns true if the devices have perhaps sent an RST at their time-out.
    pub(super) fn are_of_resets(self) -> bool {
        self.0 & Self::OF_RESET != 0
    }

    fn of(fits: impl Fn(&IdleTimeout) -> bool) -> Self {
        let bits = IdleTimeout::ALL.iter().enumerate();
        let bits = bits.filter(|(_, it)| fits(it)).map(|(nth, _)| 1 << nth);
        Self(bits.sum())
    }

    /// Returns its members.
    pub fn iter(self) -> impl Iterator<Item = IdleTimeout> {
        let all = IdleTimeout::ALL.into_iter().enumerate();
        all.filter(move |(nth, _)| self.0 & 1 << nth != 0)
            .map(|(_, it)| it)
    }

    /// Returns what the time-outs suggest: a clause. `None` if there are none.
    #[must_use]
    pub fn suggestion(self) -> Option<String> {
        let first = self.iter().next()?.published();
        let names: Vec<&str> = self.iter().map(IdleTimeout::meaning).collect();
        let (last, before) = names.split_last()?;
        let names = if before.is_empty() {
            (*last).to_owned()
        } else {
            format!("{} and {last}", before.join(", "))
        };
        let seconds = first.seconds;
        let then = match first.effect {
            Effect::Closes | Effect::ClosesHttp => {
                "if the server is one of these, that is probably why it closed"
            }
            Effect::ForgetsOrResets if self.are_of_resets() => {
                "if one is on the path and set up to send RSTs then, it may have reset both ends"
            }
            Effect::Resets => "if one is on the path, it may have reset both ends",
            Effect::Forgets | Effect::ForgetsOrResets => {
                "if one is on the path, it may have forgotten the connection"
            }
        };
        Some(format!(
            "{seconds} s is the default idle time-out of {names}: {then}"
        ))
    }
}

impl Serialize for IdleTimeouts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

const NS_PER_SEC: i64 = 1_000_000_000;

/// Time by which a silence may be shorter than the time-out of a device, in nanoseconds: the device is elsewhere, and two packets may
/// take different times to it.
const JITTER_NS: i64 = 100_000_000;

/// Returns the devices that a silence suggests, in nanoseconds: it is as long as their time-out, or up to a tenth longer. After a much
/// longer one a device with another time-out is as likely.
pub(super) fn of_silence(silence: i64) -> IdleTimeouts {
    let fits = |it: &IdleTimeout| {
        let (least, most) = (it.ns() - JITTER_NS, it.ns() + it.ns() / 10);
        let forgets = matches!(
            it.published().effect,
            Effect::Forgets | Effect::ForgetsOrResets
        );
        forgets && (least..=most).contains(&silence)
    };
    IdleTimeouts::of(fits)
}

/// Returns the devices that an RST in reply to nothing suggests, given the silence right before it in nanoseconds: it is their
/// time-out, or up to 2 % longer.
pub(super) fn of_reset(silence: i64) -> IdleTimeouts {
    let fits = |it: &IdleTimeout| {
        let resets = matches!(
            it.published().effect,
            Effect::Resets | Effect::ForgetsOrResets
        );
        resets && at_end(it.ns()).contains(&silence)
    };
    let found = IdleTimeouts::of(fits);
    if found == IdleTimeouts::default() {
        return found;
    }
    IdleTimeouts(found.0 | IdleTimeouts::OF_RESET)
}

/// Returns the times in nanoseconds at which a time-out of this length is noticed.
fn at_end(timeout: i64) -> RangeInclusive<i64> {
    // The last packet may be captured a little after it was sent, and the time-out begins before. Timers are checked at intervals.
    timeout - JITTER_NS..=timeout + NS_PER_SEC.max(timeout / 50)
}

/// Returns the servers that the time from the last data of a server to its FIN or RST suggests, in nanoseconds: it is their time-out,
/// or up to a second or 2 % longer. `protocol` is that of the connection, if it is known.
pub(super) fn of_server(quiet: i64, protocol: Option<Protocol>) -> IdleTimeouts {
    // TLS may carry HTTP.
    let may_be_http = matches!(protocol, None | Some(Protocol::Http | Protocol::Tls));
    let fits = |it: &IdleTimeout| {
        let is_meant = match it.published().effect {
            Effect::Forgets | Effect::ForgetsOrResets | Effect::Resets => false,
            Effect::Closes => true,
            Effect::ClosesHttp => may_be_http,
        };
        is_meant && at_end(it.ns()).contains(&quiet)
    };
    IdleTimeouts::of(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = NS_PER_SEC;

    fn ids(timeouts: IdleTimeouts) -> Vec<&'static str> {
        timeouts.iter().map(IdleTimeout::id).collect()
    }

    /// A device has forgotten a connection from its time-out on, and not before.
    #[test]
    fn a_device_needs_its_whole_timeout() {
        let aws = ["aws-nlb", "aws-nat-gateway"];
        assert_eq!(ids(of_silence(349 * SECOND)), [""; 0]);
        assert_eq!(ids(of_silence(350 * SECOND)), aws);
        assert_eq!(ids(of_silence(384 * SECOND)), aws);
        assert_eq!(ids(of_silence(390 * SECOND)), [""; 0]);
        assert_eq!(ids(of_silence(240 * SECOND)), ["azure-load-balancer"]);
        assert_eq!(ids(of_silence(75 * SECOND)), [""; 0]);
    }

    /// A server closes when its time-out is over, and not later.
    #[test]
    fn a_server_closes_at_its_timeout() {
        let node = ["apache-httpd", "node-http"];
        assert_eq!(ids(of_server(4 * SECOND, None)), [""; 0]);
        assert_eq!(ids(of_server(5 * SECOND, None)), node);
        assert_eq!(ids(of_server(5 * SECOND, Some(Protocol::Tls))), node);
        assert_eq!(ids(of_server(5 * SECOND, Some(Protocol::Redis))), [""; 0]);
        assert_eq!(ids(of_server(7 * SECOND, None)), [""; 0]);
        assert_eq!(
            ids(of_server(60 * SECOND, Some(Protocol::Mysql))),
            ["aws-classic-lb"]
        );
        assert_eq!(ids(of_server(350 * SECOND, None)), [""; 0]);
    }

    /// A device that resets does so at its time-out: with later data, the RST replies to that.
    #[test]
    fn a_device_resets_at_its_timeout() {
        assert_eq!(ids(of_reset(239 * SECOND)), [""; 0]);
        assert_eq!(ids(of_reset(240 * SECOND)), ["azure-load-balancer"]);
        assert_eq!(ids(of_reset(246 * SECOND)), [""; 0]);
        assert_eq!(ids(of_reset(300 * SECOND)), ["f5-big-ip"]);
        assert_eq!(ids(of_reset(350 * SECOND)), [""; 0]);
        // It has reset the ends before they could send again.
        assert_eq!(ids(of_silence(300 * SECOND)), [""; 0]);
        let said = |timeouts: IdleTimeouts| timeouts.suggestion().unwrap();
        assert!(said(of_reset(240 * SECOND)).contains("set up to send RSTs then"));
        assert!(said(of_silence(240 * SECOND)).contains("may have forgotten"));
    }

    /// One time-out, or several that are equal, so that one number is stated.
    #[test]
    fn all_suggested_timeouts_are_equal() {
        for quiet in 0..500_000 {
            let quiet = quiet * SECOND;
            for suggested in [of_silence(quiet), of_reset(quiet), of_server(quiet, None)] {
                let mut seconds = suggested.iter().map(|it| it.published().seconds);
                let first = seconds.next();
                assert!(seconds.all(|it| Some(it) == first), "{suggested:?}");
            }
        }
    }
}
