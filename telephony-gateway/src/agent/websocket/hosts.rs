//! Which hosts the gateway connects to for an agent: a tenant names the URL, and the gateway stands where the tenant does not.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use telephony_core::Url;

/// Which hosts agents may be at.
///
/// Link-local addresses, which those of cloud metadata are among, and what is no address of one host are in no choice but
/// [`ANYWHERE`](Self::ANYWHERE). As text, the words `loopback`, `private` and `public` with commas between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentHosts {
    loopback: bool,
    private: bool,
    public: bool,
    special: bool,
}

impl AgentHosts {
    /// Any host at all: where whoever names the agent's URL also runs the gateway.
    pub const ANYWHERE: Self = Self { loopback: true, private: true, public: true, special: true };

    /// Why an agent may not be at an address; `None` if it may.
    #[must_use]
    pub fn objection(self, address: IpAddr) -> Option<&'static str> {
        let (may, objection) = match Kind::of(address) {
            Kind::Loopback => (self.loopback, "is this machine, where agents may not be (`serve --agent-hosts`)"),
            Kind::Private => (self.private, "is in a private network, where agents may not be (`serve --agent-hosts`)"),
            Kind::Public => (self.public, "is a public host, where agents may not be (`serve --agent-hosts`)"),
            Kind::Special => (self.special, "is a link-local or special address, where no agent may be"),
        };
        (!may).then_some(objection)
    }

    /// Why an agent may not be at a URL, as far as the URL says it: a name is looked up when its agent is called.
    pub(super) fn objection_to(self, url: &Url) -> Option<&'static str> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host.parse().ok().and_then(|address| self.objection(address))
    }
}

/// This machine and public hosts.
impl Default for AgentHosts {
    fn default() -> Self {
        Self { loopback: true, private: false, public: true, special: false }
    }
}

/// The text is not some of the words `loopback`, `private` and `public`, with commas between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be some of loopback, private and public, with commas between them")]
pub struct AgentHostsError;

impl FromStr for AgentHosts {
    type Err = AgentHostsError;

    fn from_str(text: &str) -> Result<Self, AgentHostsError> {
        let mut hosts = Self { loopback: false, private: false, public: false, special: false };
        for word in text.split(',') {
            match word.trim() {
                "loopback" => hosts.loopback = true,
                "private" => hosts.private = true,
                "public" => hosts.public = true,
                _ => return Err(AgentHostsError),
            }
        }
        Ok(hosts)
    }
}

impl fmt::Display for AgentHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.loopback, "loopback"), (self.private, "private"), (self.public, "public")];
        let words: Vec<&str> = words.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        f.write_str(&words.join(","))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Loopback,
    Private,
    Public,
    /// Link-local, unspecified, multicast, reserved.
    Special,
}

impl Kind {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// Source: <https://www.iana.org/assignments/iana-ipv4-special-registry/>.
    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            // Shared between a provider's customers; a cloud has its metadata here.
            [100, 64..=127, ..] => Self::Private,
            [0 | 224..=255, ..] | [169, 254, ..] | [192, 0, 0, _] => Self::Special,
            _ => Self::Public,
        }
    }

    /// Source: <https://www.iana.org/assignments/iana-ipv6-special-registry/>.
    fn of_v6(address: Ipv6Addr) -> Self {
        let within = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // An address of IPv4 inside: translated (64:ff9b::/96), 6to4, and the old compatible form.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => within(high, low),
            [0, 0, 0, 0, 0, 0, high, low] if high != 0 => within(high, low),
            // The metadata of a cloud is at a private address here.
            [0xfd00, 0xec2, ..] => Self::Special,
            [0xfc00..=0xfdff, ..] => Self::Private,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        Kind::of(text.parse().unwrap())
    }

    #[test]
    fn every_way_to_write_an_address_is_seen_through() {
        for (kind_of, texts) in [
            (Kind::Loopback, &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"][..]),
            (
                Kind::Private,
                &["10.0.0.1", "172.31.255.255", "192.168.1.1", "100.100.100.200", "fd12::1", "::ffff:10.0.0.1"],
            ),
            (Kind::Public, &["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2002:808:808::1"]),
            (
                Kind::Special,
                &[
                    "169.254.169.254",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "2002:a9fe:a9fe::1",
                    "::a9fe:a9fe",
                    "fd00:ec2::254",
                    "fe80::1",
                    "0.0.0.0",
                    "::",
                    "224.0.0.1",
                    "255.255.255.255",
                    "ff02::1",
                    "192.0.0.192",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(kind(text), kind_of, "{text}");
            }
        }
    }

    #[test]
    fn what_is_allowed_is_said_in_words() {
        assert_eq!(AgentHosts::default().to_string(), "loopback,public");
        assert_eq!("loopback, public".parse(), Ok(AgentHosts::default()));
        let private: AgentHosts = "private".parse().unwrap();
        let may = |hosts: AgentHosts, text: &str| hosts.objection(text.parse().unwrap()).is_none();
        assert!(may(private, "10.0.0.1") && !may(private, "127.0.0.1") && !may(private, "8.8.8.8"));
        let all: AgentHosts = "loopback,private,public".parse().unwrap();
        assert!(!may(all, "169.254.169.254") && may(AgentHosts::ANYWHERE, "169.254.169.254"));
        for wrong in ["", "link-local", "public;loopback"] {
            assert_eq!(wrong.parse::<AgentHosts>(), Err(AgentHostsError), "{wrong:?}");
        }
    }

    #[test]
    fn a_url_is_read_as_a_connection_reads_it() {
        for url in
            ["ws://169.254.169.254/", "ws://2852039166/x", "ws://0xa9fea9fe/", "ws://[::ffff:a9fe:a9fe]/", "ws://0/"]
        {
            assert!(AgentHosts::default().objection_to(&url.parse().unwrap()).is_some(), "{url}");
        }
        for url in ["ws://127.1:9000/", "wss://agent.example.com/", "ws://localhost:9000/", "ws://[::1]/"] {
            assert_eq!(AgentHosts::default().objection_to(&url.parse().unwrap()), None, "{url}");
        }
    }
}
