//! An address range, as EC2 keeps it.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use stanch_core::{Error, Result};

/// An IPv4 or IPv6 range, with the bits beyond the prefix cleared, as EC2 stores it (EC2 API Reference: "`IpRange`").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether it is an IPv6 range.
    pub const fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether it is every address there is.
    pub const fn is_everywhere(self) -> bool {
        self.prefix == 0
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("", "must be an address range such as 192.0.2.0/24 or 2001:db8::/32");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let wide = if address.is_ipv6() { 128 } else { 32 };
        let digits = !prefix.is_empty() && prefix.bytes().all(|c| c.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|prefix| digits && *prefix <= wide).ok_or_else(wrong)?;
        let address = match address {
            IpAddr::V4(v4) => {
                IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0)).into())
            }
            IpAddr::V6(v6) => {
                IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0)).into())
            }
        };
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Cidr {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> Self {
        range.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Cidr;

    #[test]
    fn a_range_is_kept_as_ec2_keeps_it() {
        for (text, kept) in [
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("192.0.2.7/32", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Cidr>().expect(text).to_string(), kept);
        }
        for text in [
            "",
            "192.0.2.7",
            "192.0.2.7/33",
            "192.0.2.7/-1",
            "192.0.2.7/+8",
            "::/129",
            "a/8",
            "1.2.3.4/8/8",
            "1.2.3.4/",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert!("::/0".parse::<Cidr>().is_ok_and(Cidr::is_everywhere));
        assert!("::1/128".parse::<Cidr>().is_ok_and(Cidr::is_ipv6));
    }
}
